tapeout alias --help
