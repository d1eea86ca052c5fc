//! `install_cron.sh`: lines in a crontab that is otherwise the user's own.
//!
//! `crontab` is a script that keeps the table in a file and writes down how it was called.

use super::{joined, machine, program, put_program, run};
use crate::support::{Fleet, Host, normalise};
use insta::assert_snapshot;
use std::fs;

/// Knows what the script uses, refuses the rest, and takes no table without a last line break.
const CRONTAB: &str = r#"#!/bin/sh
set -eu
table=$HOME/crontab
case $1 in
    -l)
        [ ! -e "$HOME/broken" ] || { echo 'crontab: the disk is gone' >&2; exit 1; }
        [ -e "$table" ] || { echo "no crontab for $LOGNAME" >&2; exit 1; }
        cat "$table" ;;
    -r) rm "$table"; echo remove >>"$HOME/calls" ;;
    -*) echo "crontab: unknown: $*" >&2; exit 1 ;;
    *)
        [ -z "$(tail -c 1 "$1")" ] || { echo 'missing newline before EOF' >&2; exit 1; }
        cp "$1" "$table"; echo write >>"$HOME/calls" ;;
esac
"#;

fn with_crontab() -> (Fleet, Host) {
    let (fleet, mut host) = joined();
    host.set("LOGNAME", "builder");
    put_program(&host, "crontab", CRONTAB);
    (fleet, host)
}

fn crontab(host: &Host) -> Option<String> {
    fs::read_to_string(host.place("HOME").join("crontab")).ok()
}

fn set_crontab(host: &Host, text: &str) {
    fs::write(host.place("HOME").join("crontab"), text).unwrap();
}

fn calls(host: &Host) -> String {
    fs::read_to_string(host.place("HOME").join("calls")).unwrap_or_default()
}

/// What differs from machine to machine is the path of the program.
fn shown(text: &str) -> String {
    normalise(&text.replace(program().to_str().unwrap(), "/bin/git-muster"))
}

#[test]
fn the_lines_are_put_in_once_and_taken_out_again() {
    let (_fleet, host) = with_crontab();
    let own = "MAILTO=root\n# my own\n0 1 * * *\tdate +\\%s   # with a percent sign\n\n";
    set_crontab(&host, own);
    let printed = run(&host, "install_cron.sh", &["--print"]).success();
    assert_eq!(
        (crontab(&host).unwrap(), calls(&host)),
        (own.to_owned(), String::new()),
        "printing changes nothing"
    );
    run(&host, "install_cron.sh", &[]).success();
    let installed = crontab(&host).unwrap();
    assert_eq!(installed, format!("{own}{}", printed.stdout()));
    let again = run(&host, "install_cron.sh", &[]).success();
    assert_eq!((crontab(&host).unwrap(), calls(&host)), (installed, "write\n".to_owned()));
    let out = run(&host, "install_cron.sh", &["--remove"]).success();
    assert_eq!(crontab(&host).unwrap(), own);
    let out_again = run(&host, "install_cron.sh", &["--remove"]).success();
    assert_eq!(calls(&host), "write\nwrite\n");
    let told = [printed, again, out, out_again].map(|run| shown(&run.to_string()));
    assert_snapshot!(told.join(""), @r#"
    # git-muster: begin (install_cron.sh)
    * * * * *    { '/bin/git-muster' --quiet heartbeat; } 2>&1 | logger -t git-muster-heartbeat
    */5 * * * *  out=$('/bin/git-muster' health 2>&1) || echo "$out" | logger -t git-muster-health
    17 3 * * *   '/bin/git-muster' --quiet archive --older-than [DURATION]
    41 3 * * *   '/bin/git-muster' --quiet heartbeat squash
    # git-muster: end
    [exit status: 0]
    the crontab is as it should be; nothing was changed
    [exit status: 0]
    the lines of git-muster are out of the crontab
    [exit status: 0]
    the crontab is as it should be; nothing was changed
    [exit status: 0]
    "#);
}

/// Lines of an older version are replaced where they stand last; what the user put behind them stays.
#[test]
fn older_lines_are_replaced_and_what_follows_them_is_kept() {
    let (_fleet, host) = with_crontab();
    let lines = run(&host, "install_cron.sh", &["--print"]).success().stdout().to_owned();
    let (begin, end) = (lines.lines().next().unwrap(), lines.lines().last().unwrap());
    set_crontab(&host, &format!("a\n{begin}\n* * * * * old\n{end}\nb\n"));
    run(&host, "install_cron.sh", &[]).success();
    assert_eq!(crontab(&host).unwrap(), format!("a\nb\n{lines}"));
}

#[test]
fn a_user_without_a_crontab_has_none_afterwards() {
    let (_fleet, host) = with_crontab();
    run(&host, "install_cron.sh", &[]).success();
    assert!(crontab(&host).unwrap().starts_with("# git-muster: begin"));
    run(&host, "install_cron.sh", &["--remove"]).success();
    assert_eq!((crontab(&host), calls(&host)), (None, "write\nremove\n".to_owned()));
    run(&host, "install_cron.sh", &["--remove"]).success();
    assert_eq!(calls(&host), "write\nremove\n");
}

/// Whatever cannot be understood is left alone.
#[test]
fn a_crontab_that_cannot_be_read_or_understood_is_not_overwritten() {
    let (_fleet, host) = with_crontab();
    let lines = run(&host, "install_cron.sh", &["--print"]).success().stdout().to_owned();
    let (begin, end) = (lines.lines().next().unwrap(), lines.lines().last().unwrap());
    for torn in
        [format!("{begin}\nmine\n"), format!("mine\n{end}\n"), format!("{begin}\n{begin}\n{end}\nmine\n")]
    {
        set_crontab(&host, &torn);
        for args in [&[][..], &["--remove"]] {
            let refused = run(&host, "install_cron.sh", args).code(1);
            assert!(refused.stderr().contains("not in pairs"), "{refused}");
            assert_eq!((crontab(&host).unwrap(), calls(&host)), (torn.clone(), String::new()));
        }
    }
    set_crontab(&host, "mine\n");
    fs::write(host.place("HOME").join("broken"), "").unwrap();
    let failed = run(&host, "install_cron.sh", &[]).code(3);
    assert!(failed.stderr().contains("cannot be read; it is unchanged"), "{failed}");
    assert_eq!((crontab(&host).unwrap(), calls(&host)), ("mine\n".to_owned(), String::new()));
}

/// Each line is run as cron runs it: by `sh -c`, at home, with nothing of this shell.
#[test]
fn cron_can_run_the_lines() {
    let (fleet, host) = with_crontab();
    let lines = run(&host, "install_cron.sh", &["--print"]).success().stdout().to_owned();
    // No syslog here: what would be told to it comes to stdout.
    let bin = host.place("HOME").join("logger-bin");
    fs::create_dir(&bin).unwrap();
    put_program(&host, "logger", "#!/bin/sh\necho \"$*:\"; cat\n");
    fs::rename(host.place("HOME").join("bin/logger"), bin.join("logger")).unwrap();
    let as_cron = |line: &str| {
        let command = line.splitn(6, ' ').last().unwrap().trim().replace("\\%", "%");
        let mut command = host.program("sh").args(["-c", &command]).current_dir(host.place("HOME"));
        for variable in ["MUSTER_HUB", "MUSTER_SERVER", "SERVER_ID", "XDG_RUNTIME_DIR", "TMPDIR"] {
            command = command.env_remove(variable);
        }
        command.env("PATH", format!("{}:/usr/bin:/bin", bin.display())).run().success()
    };
    let commands: Vec<&str> = lines.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(commands.len(), 4);
    for line in &commands {
        let ran = as_cron(line);
        assert_eq!(ran.stderr(), "");
        assert_eq!(ran.stdout(), if line.contains("heartbeat;") { "-t git-muster-heartbeat:\n" } else { "" });
    }
    assert!(fleet.hub().tip("heartbeat-build1").is_some(), "the first line beats");
    // When something is wrong, syslog hears of it.
    fs::rename(fleet.hub().path(), fleet.hub().path().with_extension("away")).unwrap();
    for line in &commands[..2] {
        let told = as_cron(line);
        assert!(told.stdout().contains("cannot be reached") && told.stderr().is_empty(), "{told}");
    }
}

/// Hub and name that only this shell or this folder knows.
#[test]
fn lines_that_would_not_know_the_hub_are_not_put_in() {
    let fleet = Fleet::new();
    let mut host = machine(&fleet);
    put_program(&host, "crontab", CRONTAB);
    host.set("LOGNAME", "builder");
    host.run(["init", &fleet.hub().url()]).success();
    let with_variables = host.program(super::folder().join("install_cron.sh"));
    let refused =
        with_variables.env("MUSTER_HUB", fleet.hub().url()).env("MUSTER_SERVER", "build1").run().code(1);
    assert!(refused.stderr().contains("which hub is meant"), "{refused}");
    // The user's configuration knows the hub and no name.
    let folder = host.place("HOME").join(".config/git-muster");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.json"), format!("{{\"hub\": \"{}\"}}", fleet.hub().url())).unwrap();
    run(&host, "install_cron.sh", &[]).code(1);
    assert_eq!(crontab(&host), None);
    fs::remove_file(folder.join("config.json")).unwrap();

    let clone = host.place("HOME").join("it's 5% of\tbuild");
    host.git(["clone", "--quiet", &fleet.hub().url(), clone.to_str().unwrap()]).success();
    host.command(["join", "--as", "build1"]).current_dir(&clone).run().success();
    let install = host.program(super::folder().join("install_cron.sh")).current_dir(&clone);
    install.run().success();
    let table = crontab(&host).unwrap();
    let beat = table.lines().find(|line| line.contains("heartbeat;")).unwrap();
    let command = beat.splitn(6, ' ').last().unwrap().trim();
    assert!(command.starts_with("{ cd '") && command.contains("5\\% of"), "{command}");
    let ran = host.program("sh").args(["-c", &command.replace("\\%", "%")]).current_dir("/").run().success();
    assert_eq!(ran.stderr(), "");
    assert!(fleet.hub().tip("heartbeat-build1").is_some());
}
