"""The process: device, threads, memory, oneDNN, interrupts."""
