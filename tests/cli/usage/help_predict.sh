tapeout predict --help
