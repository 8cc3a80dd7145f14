#!/bin/sh
# Makes the samples anew: what ansible-playbook says of each of these playbooks. src/engine/ansible.rs is tested on them.
# Made with ansible-core 2.14.18; those in 2.19 with the ansible-playbook that ANSIBLE_2_19 names.
cd "$(dirname "$0")" || exit 1
export ANSIBLE_NOCOLOR=1 LC_ALL=C.UTF-8
for playbook in *.yml missing.yml; do
    case $playbook in
        unreachable.yml) set -- -i 127.0.0.1, -e ansible_port=1 ;;
        *) set -- -c local -i localhost, ;;
    esac
    ansible-playbook "$@" "$playbook" 2>&1 | sed "s|$PWD|/bundle/ansible|g" > "${playbook%.yml}.out"
done
ANSIBLE_NOCOLOR="" ANSIBLE_FORCE_COLOR=1 ansible-playbook -c local -i localhost, failed.yml > colour.out 2>&1
[ -n "$ANSIBLE_2_19" ] || exit 0
for name in syntax module role missing stderr undefined; do
    "$ANSIBLE_2_19" -e ansible_python_interpreter=/usr/bin/python3 -c local -i localhost, "$name.yml" 2>&1 |
        sed "s|$PWD|/bundle/ansible|g" > "2.19/$name.out"
done
