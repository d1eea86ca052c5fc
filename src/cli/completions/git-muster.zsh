#compdef git-muster
# Completion of git-muster for zsh, as `git-muster` and as `git muster`: zsh's completion of git calls the
# function of this name. What can come next the program says; it asks no network and takes no time.

_git-muster() {
    local line
    local -a described
    for line in ${(f)"$(command git-muster complete -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)"}; do
        described+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done
    if (($#described)); then
        _describe 'git-muster' described
    else
        _files
    fi
}

if [[ $funcstack[1] == _git-muster ]]; then
    _git-muster "$@"
else
    compdef _git-muster git-muster
fi
zstyle -g _git_muster_known ':completion:*:*:git:*' user-commands
zstyle ':completion:*:*:git:*' user-commands $_git_muster_known 'muster:coordinate build servers'
unset _git_muster_known
