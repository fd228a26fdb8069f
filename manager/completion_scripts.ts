/** What bash, zsh and fish read to complete command lines of Tendril; cli_completions.ts says how. */

/** For bash 3.2 and later, without the package bash-completion. */
export const BASH_SCRIPT = `# Completes tendril in bash: eval "$(tendril completions bash)"
_tendril() {
  local IFS=$'\\n' cur=\${COMP_WORDS[COMP_CWORD]} word='' index last=-1 line place=''
  local -a words
  # Bash takes "--state=done" for three words.
  for ((index = 1; index <= COMP_CWORD; index++)); do
    word=\${COMP_WORDS[index]}
    if ((last >= 0)) && [[ $word == = || \${words[last]} == *= ]]; then
      words[last]+=$word
    else
      words[++last]=$word
    fi
  done
  word=\${words[last]}
  [[ $cur == = ]] && cur=''
  local before=\${word%"$cur"}
  COMPREPLY=()
  for line in $("\${COMP_WORDS[0]}" internal-complete -- "\${words[@]}" 2>/dev/null); do
    if [[ -z $place ]]; then
      place=$line
    else
      line=\${line%%$'\\t'*}
      COMPREPLY+=("\${line#"$before"}")
    fi
  done
  if [[ $place == :files || $place == :directories ]]; then
    local kind=-f
    [[ $place == :directories ]] && kind=-d
    compopt -o filenames 2>/dev/null
    COMPREPLY+=($(compgen $kind -- "$cur"))
  fi
  [[ \${#COMPREPLY[@]} == 1 && \${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
  return 0
}
complete -F _tendril tendril
`;

/** To be evaluated after \`compinit\`, or to lie in a folder of \`fpath\` as \`_tendril\`. */
export const ZSH_SCRIPT = `#compdef tendril
# Completes tendril in zsh, after compinit: eval "$(tendril completions zsh)"
_tendril() {
  local -a lines whole begun
  local line word
  lines=("\${(@f)$("\${words[1]}" internal-complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  for line in "\${(@)lines[2,-1]}"; do
    word="\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}"
    if [[ \${line%%$'\\t'*} == *= ]]; then begun+=("$word"); else whole+=("$word"); fi
  done
  (( $#whole )) && _describe -t tendril tendril whole
  (( $#begun )) && _describe -t tendril tendril begun -S ''
  case $lines[1] in
    :files) compset -P '--*='; _files ;;
    :directories) compset -P '--*='; _files -/ ;;
  esac
}
if [[ $funcstack[1] == _tendril ]]; then _tendril "$@"; else compdef _tendril tendril; fi
`;

/** For fish 3 and later. */
export const FISH_SCRIPT = `# Completes tendril in fish: tendril completions fish | source
function __tendril_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    test -n "$current"; or set current ''
    set -l lines ($words[1] internal-complete -- $words[2..-1] $current 2>/dev/null)
    switch "$lines[1]"
        case :files
            __fish_complete_path $current
        case :directories
            __fish_complete_directories $current
    end
    printf '%s\\n' $lines[2..-1]
end
complete -c tendril -f -a '(__tendril_complete)'
`;
