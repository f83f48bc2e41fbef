"""Write tracks in several file formats, and read some of them."""
