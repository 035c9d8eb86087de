tapeout rollback --help
