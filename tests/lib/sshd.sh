# What sshds of different ages know.
# shellcheck shell=bash

# sshd_knows KEY LINE: does it take that line of a configuration? (KEY: some host key)
sshd_knows() { "$SSHD_PROGRAM" -t -f /dev/null -h "$1" -o "$2" 2>/dev/null; }

# sshd_patient KEY: the line, where it is known, that has it not turn an address away after logins that failed, as OpenSSH
# 9.8 and newer do: the tests come from one address, and many are meant to fail
sshd_patient() { ! sshd_knows "$1" 'PerSourcePenalties no' || echo 'PerSourcePenalties no'; }
