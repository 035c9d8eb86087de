tapeout rm --help
