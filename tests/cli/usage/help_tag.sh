tapeout tag --help
