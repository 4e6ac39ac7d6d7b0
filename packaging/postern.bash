# SPDX-License-Identifier: Apache-2.0
# Completion of the postern command for bash.
_postern()
{
    local current=${COMP_WORDS[COMP_CWORD]} words=""
    case $COMP_CWORD in
        1) words="serve upgrade certificate api backend policy vault identity token status demo help
            --help --version" ;;
        2) case ${COMP_WORDS[1]} in
            certificate) words="add list show refresh delete usage generations promote check expiry" ;;
            api) words="add list show delete" ;;
            backend) words="add update list show probe delete" ;;
            policy) words="show set delete check" ;;
            vault) words="secret certificate" ;;
            identity) words="show add-certificate" ;;
            serve) words="--data --config --gateway --gateway-tls --control --vault --threads
                --dns-servers --x-forwarded --forwarded --control-workers --rotation-interval --user
                --log-level --limit --list-limits --check" ;;
            upgrade) words="--data --config" ;;
            esac ;;
    esac
    case $current in
        -*) words+=" --data --output --help" ;;
    esac
    if [[ ${COMP_WORDS[COMP_CWORD - 1]} == --output ]]; then
        words="json table"
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
    if [[ ${#COMPREPLY[@]} -eq 0 ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
    fi
}
complete -F _postern postern
