# Every command has a man page with its own flags, and the program's page names every command.
commands=$(tapeout --help | sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
test -n "$commands"
tapeout man >program.1
for command in $commands; do
    grep -qF "tapeout\-$command\fR(1)" program.1 || echo "the program's page lacks $command"
    tapeout man "$command" >page.1
    for flag in $(tapeout "$command" --help | sed -n 's/^  --\([a-z0-9-]*\).*/\1/p'); do
        grep -qF "\-\-$(echo "$flag" | sed 's/-/\\-/g')\fR" page.1 ||
            echo "the page of $command lacks --$flag"
    done
done
tapeout man nothing
