python3 "$SOURCE/tests/cli/make_data.py" 200 >data.csv
tapeout profile data.csv --json
