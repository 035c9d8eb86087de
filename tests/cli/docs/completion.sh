# What the shells are told is what they parse; bash also completes.
tapeout completion bash >tapeout.bash
cat >complete.bash <<'END'
. ./tapeout.bash
COMP_WORDS=(tapeout ev) COMP_CWORD=1 && _tapeout && echo "${COMPREPLY[@]}"
COMP_WORDS=(tapeout train --s) COMP_CWORD=2 && _tapeout && echo "${COMPREPLY[@]}"
COMP_WORDS=(tapeout train --th) COMP_CWORD=2 && _tapeout && echo "${COMPREPLY[@]}"
COMP_WORDS=(tapeout train tape) COMP_CWORD=2 && _tapeout && echo "${COMPREPLY[@]}"
END
bash complete.bash
tapeout completion zsh | head -n 1
tapeout completion fish | grep -c -- '-a train'
tapeout completion tcsh
