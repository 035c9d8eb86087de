tapeout profile --help
