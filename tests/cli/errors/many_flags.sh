tapeout generate nothing.gguf --quiet --raw --prompt one --threads 1 --json
