tapeout evaluate --help
