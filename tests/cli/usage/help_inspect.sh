tapeout inspect --help
