tapeout import --help
