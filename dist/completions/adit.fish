# Completion of adit in fish. tests/package/test_words.sh holds it to the help of each command.

set -l commands serve forward run migrate check recover jobs status set cancel start vms console keygen
set -l none "not __fish_seen_subcommand_from $commands"
set -l clients '__fish_seen_subcommand_from migrate check forward run'
set -l creds '__fish_seen_subcommand_from migrate check forward run serve'
set -l vm '__fish_seen_subcommand_from migrate check'
set -l job '__fish_seen_subcommand_from jobs status set cancel'
set -l limits '__fish_seen_subcommand_from migrate check set'

function __adit_jobs
    adit jobs 2>/dev/null | awk 'NR > 1 { print $1 }'
end

function __adit_vms
    adit vms 2>/dev/null | awk 'NR > 1 { print $1 }'
end

complete -c adit -f
complete -c adit -s h -l help -d 'List the options'
complete -c adit -n "$none" -s V -l version -d 'Say which adit this is'
complete -c adit -n "$none" -a serve -d 'Accept sessions from other adits'
complete -c adit -n "$none" -a forward -d 'Carry local connections to the far adit'
complete -c adit -n "$none" -a run -d 'Run a command with a tunnel'
complete -c adit -n "$none" -a migrate -d 'Move a running VM, with its disks'
complete -c adit -n "$none" -a check -d 'Say what would come of a migration'
complete -c adit -n "$none" -a recover -d 'Bring what was cut off to its end'
complete -c adit -n "$none" -a jobs -d 'List the migrations that go away'
complete -c adit -n "$none" -a status -d 'Tell how one of them goes'
complete -c adit -n "$none" -a set -d 'Change one of them'
complete -c adit -n "$none" -a cancel -d 'Cancel one of them'
complete -c adit -n "$none" -a start -d 'Start a VM again that came to stay'
complete -c adit -n "$none" -a vms -d 'List the VMs that adit launched here'
complete -c adit -n "$none" -a console -d 'Join the terminal with one of them'
complete -c adit -n "$none" -a keygen -d 'Make a key'

complete -c adit -n "$clients" -a 'tls:// ssh:// ssh+tls:// tcp://'
complete -c adit -n "$creds" -l psk -rF -d 'Key file'
complete -c adit -n "$creds" -l tls-creds -xa '(__fish_complete_directories)' -d 'Folder of certificates'
complete -c adit -n "$creds" -l insecure -d 'Neither encryption nor authentication'
complete -c adit -n "$clients" -l identity -x -d 'Which of the keys'
complete -c adit -n "$clients" -l ssh-config -rF -d 'Read instead of ~/.ssh/config'
complete -c adit -n "$clients" -l remote-command -x -d 'Run there instead of adit serve --stdio'

complete -c adit -n "$vm" -l qmp -rF -d 'Monitor of the VM'
complete -c adit -n "$vm" -l dest-address -xa '(__fish_print_hostnames)' -d 'Connect there instead'
complete -c adit -n "$vm" -l dest-qmp -x -d 'Monitor of the QEMU that waits there'
complete -c adit -n "$vm" -l copy-storage -xa 'all inc none' -d 'What of the disks is copied'
complete -c adit -n "$vm" -l copy-media -xa 'auto on off' -d 'Images that are only read, where they are missing'
complete -c adit -n "$vm" -l disks -xa 'all none' -d 'Which disks are copied'
complete -c adit -n "$vm" -l target -x -d 'Where images are put there'
complete -c adit -n "$vm" -l storage -x -d 'Storages that images are put in there'
complete -c adit -n "$vm" -l drop-snapshots -d 'Internal snapshots stay behind'
complete -c adit -n "$vm" -l rename -x -d "The VM's name there"
complete -c adit -n "$vm" -l net -x -d "The VM's networks, as the destination's: ID=NAME"
complete -c adit -n "$vm" -l persistent -d 'Keep there how to start it again'
complete -c adit -n "$vm" -l live -d 'The guest runs meanwhile'
complete -c adit -n "$vm" -l offline -d 'The guest is paused first'
complete -c adit -n "$vm" -l multifd -x -d 'RAM in so many channels'
complete -c adit -n "$vm" -l compression -xa 'zlib zstd' -d 'Of those channels'
complete -c adit -n "$vm" -l auto-converge -d 'Slow the guest down when it writes too fast'
complete -c adit -n "$vm" -l xbzrle -d 'Send what changed in a page only'
complete -c adit -n "$limits" -l max-bandwidth -x -d 'Bytes a second over all'
complete -c adit -n "$limits" -l downtime-limit -x -d 'How long the guest may stand still (ms)'
complete -c adit -n "$limits" -l timeout -x -d 'Do what --on-timeout says after so many seconds'
complete -c adit -n "$limits" -l on-timeout -xa 'abort suspend postcopy' -d 'What to do then'
complete -c adit -n "$limits" -l postcopy -d 'Run the VM there before all has come'

complete -c adit -n '__fish_seen_subcommand_from migrate' -l keep-source -d 'Do not end the QEMU here'
complete -c adit -n '__fish_seen_subcommand_from check' -l measure-dirty -x -d 'Measure so many seconds'

complete -c adit -n '__fish_seen_subcommand_from forward run' -s L -x -a 'unix:/ tcp:' -d 'LOCAL=REMOTE'
complete -c adit -n '__fish_seen_subcommand_from forward' -l background -d 'Return once it is up'
complete -c adit -n '__fish_seen_subcommand_from forward' -l pid-file -rF -d 'Write the process id there'

complete -c adit -n '__fish_seen_subcommand_from run' -l libvirt -d 'What virsh migrate needs'
complete -c adit -n '__fish_seen_subcommand_from run serve' -l libvirt-dir -xa '(__fish_complete_directories)' -d "Folder for a migration's sockets"
complete -c adit -n '__fish_seen_subcommand_from run; and contains -- -- (commandline -opc)' -F

set -l serve '__fish_seen_subcommand_from serve'
complete -c adit -n "$serve" -l config -rF -d 'Configuration'
complete -c adit -n "$serve" -l check-config -d 'Say what is in force'
complete -c adit -n "$serve" -l listen -x -d 'Where to listen'
complete -c adit -n "$serve" -l stdio -d 'The peer at standard input and output'
complete -c adit -n "$serve" -l allow-forward -x -d 'Connect to such targets'
complete -c adit -n "$serve" -l allow-migrate -d 'Bring VMs here'
complete -c adit -n "$serve" -l allow-launch -rF -d 'Have this QEMU started'
complete -c adit -n "$serve" -l launch-user -xa '(__fish_complete_users)' -d 'As whom it is started'
complete -c adit -n "$serve" -l images -xa '(__fish_complete_directories)' -d 'Where images are used and made'
complete -c adit -n "$serve" -l allow-storage -x -d 'Where a peer may have images put'
complete -c adit -n "$serve" -l overwrite-images -d 'Overwrite images that are there'
complete -c adit -n "$serve" -l allow-networks -x -d 'Networks for their NICs: NAME=BRIDGE'
complete -c adit -n "$serve" -l memory-paths -xa '(__fish_complete_directories)' -d 'Where RAM is in files'
complete -c adit -n "$serve" -l swtpm -r -F -d 'What is a TPM'
complete -c adit -n "$serve" -l launch-hook -rF -d 'Program that starts a QEMU'
complete -c adit -n "$serve" -l allow-dest-qmp -x -d 'Monitors of QEMUs that wait'
complete -c adit -n "$serve" -l allow-libvirt -d 'Reach the libvirt daemon here'
complete -c adit -n "$serve" -l vms -xa '(__fish_complete_directories)' -d 'Folder of monitors of VMs'
complete -c adit -n "$serve" -l api-listen -x -d 'Have the API on TCP'
complete -c adit -n "$serve" -l api-token-file -rF -d 'What clients on TCP must show'

complete -c adit -n '__fish_seen_subcommand_from recover' -l run-here -d 'It does not run there: run it here'
complete -c adit -n '__fish_seen_subcommand_from recover' -l drop-here -d 'It runs there: end it here'

complete -c adit -n '__fish_seen_subcommand_from status set cancel' -a '(__adit_jobs)'
complete -c adit -n '__fish_seen_subcommand_from vms console' -a '(__adit_vms)'
complete -c adit -n '__fish_seen_subcommand_from vms' -l powerdown -d 'Press its power button'
complete -c adit -n '__fish_seen_subcommand_from vms console' -l run-dir -xa '(__fish_complete_directories)' -d 'Folder for sockets'
complete -c adit -n '__fish_seen_subcommand_from status' -l watch -d 'Follow it to its end'
complete -c adit -n '__fish_seen_subcommand_from keygen' -s o -l output -rF -d 'Write it to a new file'

complete -c adit -n "$serve; or $job" -l api -rF -d 'Socket of the API'
complete -c adit -n "$serve; or $job" -l run-dir -xa '(__fish_complete_directories)' -d 'Folder for sockets'
complete -c adit -n '__fish_seen_subcommand_from serve migrate recover start' -l state-dir -xa '(__fish_complete_directories)' -d 'Folder for the journal'
complete -c adit -n "$job; or __fish_seen_subcommand_from migrate check recover vms" -l json -d 'For programs'
complete -c adit -n "$creds; or __fish_seen_subcommand_from recover" -l log-level -xa 'error warning info debug' -d 'How much to say'
