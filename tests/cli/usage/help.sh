tapeout --help
