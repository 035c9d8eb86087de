tapeout serve --help
