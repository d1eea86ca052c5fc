# Completion of git-muster for fish, as `git-muster` and as `git muster`. What can come next the program
# says; it asks no network and takes no time.

function __git_muster_words
    # The words behind the name of the program, the last one as far as it goes.
    set -l words (commandline -opc) (commandline -ct)
    set -l at 1
    if test (path basename -- $words[1]) != git-muster
        set at (contains -i -- muster $words)
        or return 1
    end
    string join0 -- $words[(math $at + 1)..]
end

function __git_muster_complete
    set -l words (__git_muster_words | string split0)
    or return
    command git-muster complete -- $words 2>/dev/null
end

function __git_muster_is_asked
    set -l words (commandline -opc)
    contains -- muster $words[2..]
end

complete -c git-muster -f -a '(__git_muster_complete)'
complete -c git -f -n __git_muster_is_asked -a '(__git_muster_complete)'
complete -c git -f -n 'not __git_muster_is_asked; and test (count (commandline -opc)) -eq 1' -a muster -d 'Coordinate build servers'
