# Completion of git-muster for bash, as `git-muster` and as `git muster`: git's own completion calls the
# function of this name. What can come next the program says; it asks no network and takes no time.

_git_muster() {
    local at=0 line
    if [[ ${COMP_WORDS[0]##*/} != git-muster ]]; then
        # What stands before it are options of git.
        while ((at < COMP_CWORD)) && [[ ${COMP_WORDS[at]} != muster ]]; do
            ((at += 1))
        done
    fi
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("${line%%$'\t'*}")
    done < <(command git-muster complete -- "${COMP_WORDS[@]:at+1:COMP_CWORD-at}" 2>/dev/null)
}

complete -o bashdefault -o default -F _git_muster git-muster
