tapeout restore --help
