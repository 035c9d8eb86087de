# What docs/cli.md says below its line is what the table of verbs says.
sed '1,/^---$/d' "$SOURCE/docs/cli.md" | sed 1d >page.md
tapeout man --markdown | diff -u page.md -
