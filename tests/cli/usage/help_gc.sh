tapeout gc --help
