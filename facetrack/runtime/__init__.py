"""Configure the process: device, threads, memory, oneDNN, interrupts."""
