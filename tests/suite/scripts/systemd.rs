//! `install_heartbeat_service.sh`: units that systemd takes, and that run what they say.

use super::{files_in, folder, joined, machine, program, put_program, run};
use crate::support::{Fleet, Host, Transport, need, normalise};
use insta::assert_snapshot;
use std::fs;
use std::path::Path;

const SCRIPT: &str = "install_heartbeat_service.sh";

/// What systemd itself says of a unit: nothing when all is well.
#[track_caller]
fn assert_verified(host: &Host, unit: &Path) {
    if need::is_here(&["systemd-analyze"]) {
        let verified =
            host.program("systemd-analyze").args(["verify".as_ref(), unit.as_os_str()]).run().success();
        assert_eq!((verified.stdout(), verified.stderr()), ("", ""), "{verified}");
    }
}

fn setting<'a>(unit: &'a str, name: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).collect()
}

/// A span as `worker run --drain` takes it, in seconds.
fn seconds(text: &str) -> u64 {
    text.trim_end_matches('s').parse().unwrap()
}

#[test]
fn a_unit_for_beats_is_shown_and_written() {
    let (fleet, host) = joined();
    let shown = run(&host, SCRIPT, &["--print"]).success();
    assert_eq!(shown.stderr(), "");
    let user = format!("User={}", host.program("id").args(["-un"]).run().success().stdout());
    let text = shown.stdout().replace(&user, "User=me\n").replace("PrivateTmp=yes\n", "");
    let text = text.replace(program().parent().unwrap().to_str().unwrap(), "/bin");
    assert_snapshot!(normalise(&text), @r#"
    # Written by install_heartbeat_service.sh of git-muster; run it again rather than editing this.
    [Unit]
    Description=Signs of life of this server, by git-muster
    Wants=network-online.target
    After=network-online.target time-sync.target
    Conflicts=git-muster-worker.service
    # A hub that is away for a day must not end it for good.
    StartLimitIntervalSec=0

    [Service]
    Type=exec
    ExecStart="/bin/git-muster" heartbeat run
    User=me
    WorkingDirectory=[FLEET]/machine/home
    Environment="HOME=[FLEET]/machine/home"
    Environment="PATH=/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    Environment="XDG_CACHE_HOME=[FLEET]/machine/home/.cache"
    Environment="XDG_CONFIG_HOME=[FLEET]/machine/home/.config"
    Environment="XDG_DATA_HOME=[FLEET]/machine/home/.local/share"
    Environment="XDG_STATE_HOME=[FLEET]/machine/home/.local/state"
    Restart=on-failure
    RestartSec=15
    # The command line or the configuration is wrong: trying again helps nobody.
    RestartPreventExitStatus=2 78
    # SIGTERM goes to the program alone, which ends its jobs in good order; what is left is killed.
    KillMode=mixed
    TimeoutStopSec=60
    # Whatever it runs gains no rights, and writes where it has to write and nowhere else.
    NoNewPrivileges=yes
    ProtectSystem=strict
    ProtectHome=read-only
    ProtectClock=yes
    ProtectHostname=yes
    ProtectControlGroups=yes
    ProtectKernelLogs=yes
    ProtectKernelModules=yes
    ProtectKernelTunables=yes
    RestrictRealtime=yes
    LockPersonality=yes
    PrivateDevices=yes
    RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
    RestrictNamespaces=yes
    RestrictSUIDSGID=yes
    SystemCallArchitectures=native
    ReadWritePaths="-[FLEET]/machine/home/.cache/git-muster"
    ReadWritePaths="-[FLEET]/machine/home/.local/share/git-muster"
    ReadWritePaths="-[FLEET]/machine/home/.local/state/git-muster"
    ReadWritePaths="-[HUB]/hub.git"

    [Install]
    WantedBy=multi-user.target
    "#);

    let units = host.place("HOME").join("units");
    let written = run(&host, SCRIPT, &["--dir", units.to_str().unwrap()]).success();
    let unit = units.join("git-muster-heartbeat.service");
    assert_eq!(written.stdout(), format!("{} is written\n", unit.display()));
    assert_eq!(fs::read_to_string(&unit).unwrap(), shown.stdout());
    assert_eq!(files_in(&units), ["git-muster-heartbeat.service"]);
    assert_verified(&host, &unit);
    run(&host, SCRIPT, &["--dir", units.to_str().unwrap()]).success();
    assert_eq!(fs::read_to_string(&unit).unwrap(), shown.stdout(), "a second run writes the same");

    // The service beats with nothing around it but what the unit says.
    let command = setting(shown.stdout(), "ExecStart")[0].replace('"', "");
    let variables = setting(shown.stdout(), "Environment").into_iter().map(|one| one.trim_matches('"'));
    let mut line: Vec<&str> = vec!["-i"];
    line.extend(variables);
    line.extend(command.split(' '));
    let home = setting(shown.stdout(), "WorkingDirectory")[0];
    let mut beating = host.program("env").args(line).current_dir(home).spawn();
    beating.wait_for_stdout("beat 1 of `build1`");
    beating.signal("TERM");
    beating.wait().success();
    assert!(fleet.hub().tip("heartbeat-build1").is_some());
}

#[test]
fn a_unit_for_a_worker_lets_its_jobs_end() {
    let (_fleet, host) = joined();
    let units = host.place("HOME").join("units");
    let debs = host.place("HOME").join("my \"debs\" 5%");
    let args =
        ["--dir", units.to_str().unwrap(), "--worker", "--allow", "make *", "--allow", "/ci/$x \"%h\" \\n"];
    let more = ["--drain", "900", "--writable", debs.to_str().unwrap()];
    run(&host, SCRIPT, &[&args[..], &more].concat()).success();
    let path = units.join("git-muster-worker.service");
    let unit = fs::read_to_string(&path).unwrap();
    assert_verified(&host, &path);
    let command = setting(&unit, "ExecStart")[0];
    let words = r#"worker run --drain 900s "--allow=make *" "--allow=/ci/$$x \"%%h\" \\n""#;
    assert!(command.ends_with(words), "{command}");
    assert_eq!(
        setting(&unit, "KillMode"),
        ["mixed"],
        "guards of jobs must not hear of the stop before they are told"
    );
    assert!(seconds(setting(&unit, "TimeoutStopSec")[0]) > 900 + 10, "longer than drain and grace");
    assert_eq!(setting(&unit, "Conflicts"), ["git-muster-heartbeat.service"], "a worker beats by itself");
    assert_eq!(setting(&unit, "NoNewPrivileges"), ["yes"]);
    let writable = setting(&unit, "ReadWritePaths");
    assert!(writable.iter().any(|path| path.ends_with("my \\\"debs\\\" 5%%\"")), "{writable:?}");
    assert!(debs.is_dir(), "a folder that is not there could not be opened for writing");

    let printed = run(&host, SCRIPT, &["--print", "--worker", "--allow-any"]).success();
    assert!(setting(printed.stdout(), "ExecStart")[0].ends_with("--drain 600s --allow-any"), "{printed}");
    assert!(seconds(setting(printed.stdout(), "TimeoutStopSec")[0]) > 610);
}

#[test]
fn a_unit_for_a_worker_takes_all_its_options() {
    let (_fleet, host) = joined();
    let units = host.place("HOME").join("units");
    let place = ["--dir", units.to_str().unwrap(), "--worker"];
    let options =
        ["--jobs", "2", "--label", "gpu", "--env", "A=5% $x \"y\"", "--source", "", "--poll=5s", ";"];
    run(&host, SCRIPT, &[&place[..], &["--allow", "make *", "--"], &options].concat()).success();
    let path = units.join("git-muster-worker.service");
    let unit = fs::read_to_string(&path).unwrap();
    assert_verified(&host, &path);
    let words = r#"--drain 600s "--allow=make *" "--jobs" "2" "--label" "gpu" "--env" "A=5%% $$x \"y\"" "--source" "" "--poll=5s" ";""#;
    assert!(setting(&unit, "ExecStart")[0].ends_with(words), "{unit}");
    // The patterns may stand there too.
    let shown = run(&host, SCRIPT, &["--print", "--worker", "--", "--allow", "make", "--jobs=2"]).success();
    assert!(setting(shown.stdout(), "ExecStart")[0].ends_with(r#""--allow" "make" "--jobs=2""#), "{shown}");
}

/// A service that has a `/tmp` of its own finds nothing that lies in the other one.
#[test]
fn what_lies_in_tmp_stays_in_sight() {
    for fleet in [Fleet::new(), Fleet::on_disk(Transport::Path)] {
        let host = machine(&fleet);
        host.run(["init", &fleet.hub().url()]).success();
        host.run(["join", &fleet.hub().url(), "--as", "build1"]).success();
        let shown = run(&host, SCRIPT, &["--print"]).success();
        let used = [program(), host.place("HOME"), fleet.hub().path().to_owned()];
        let in_tmp = used.iter().any(|path| path.starts_with("/tmp") || path.starts_with("/var/tmp"));
        assert_eq!(setting(shown.stdout(), "PrivateTmp"), if in_tmp { vec![] } else { vec!["yes"] });
    }
}

/// Text of others or slips of the keyboard become no settings of their own.
#[test]
fn what_cannot_stand_in_a_unit_is_refused() {
    let (_fleet, host) = joined();
    let cases: &[(&[&str], &str)] = &[
        (&["--worker"], "a worker runs nothing without --allow or --allow-any"),
        (&["--allow", "make"], "--allow is for --worker"),
        (&["--worker", "--allow", "make\nUser=root"], "a line break cannot stand in a unit"),
        (&["--writable", "debs"], "is not the whole path"),
        (&["--worker", "--allow-any", "--drain", "10m"], "is no number of seconds"),
        (&["--worker", "--allow-any", "--drain", "090"], "is no number of seconds"),
        (&["--drain"], "--drain needs a word behind it"),
        (&["--worker", "--allow-any", "--", "--drain=1h"], "--drain stands before the --"),
        (&["--worker", "--", "--jobs", "2"], "a worker runs nothing without"),
        (
            &["--worker", "--allow-any", "--", "--env", "A=1\nUser=root"],
            "a line break cannot stand in a unit",
        ),
        (&["--", "--jobs", "2"], "what follows -- is for --worker"),
        (&["--user"], "`--user` means nothing here"),
    ];
    for (args, why) in cases {
        let refused = host.program(folder().join(SCRIPT)).args(["--dir", "units"]).args(*args).run();
        let refused = if *args == ["--drain"] { run(&host, SCRIPT, args) } else { refused }.code(1);
        assert!(refused.stderr().contains(why), "{refused}");
    }
    assert_eq!(files_in(host.directory()), [""; 0]);
    fs::write(host.directory().join("file"), "").unwrap();
    let failed = run(&host, SCRIPT, &["--dir", "file/units"]).code(3);
    assert!(failed.stderr().contains("cannot be written; nothing was started"), "{failed}");
}

#[test]
fn a_service_that_would_not_know_the_hub_is_not_written() {
    let fleet = Fleet::over(Transport::FileUrl);
    let host = machine(&fleet);
    host.run(["init", &fleet.hub().url()]).success();
    let known_here = host.program(folder().join(SCRIPT)).args(["--dir", "units"]);
    let refused = known_here.env("MUSTER_HUB", fleet.hub().url()).env("SERVER_ID", "build1").run().code(1);
    assert!(refused.stderr().contains("git muster join URL --as NAME"), "{refused}");
    // The user's configuration knows the hub and no name.
    let known = host.place("HOME").join(".config/git-muster");
    fs::create_dir_all(&known).unwrap();
    fs::write(known.join("config.json"), format!("{{\"hub\": \"{}\"}}", fleet.hub().url())).unwrap();
    run(&host, SCRIPT, &["--dir", "units"]).code(1);
    fs::remove_dir_all(known).unwrap();
    assert_eq!(files_in(host.directory()), [""; 0]);
    // Joined in a clone, the service runs in the clone.
    host.git(["clone", "--quiet", &fleet.hub().url(), "clone"]).success();
    let clone = host.directory().join("clone");
    host.command(["join", "--as", "build1"]).current_dir(&clone).run().success();
    let shown = host.program(folder().join(SCRIPT)).args(["--print"]).current_dir(&clone).run().success();
    assert_eq!(setting(shown.stdout(), "WorkingDirectory"), [clone.to_str().unwrap()]);
    let writable = setting(shown.stdout(), "ReadWritePaths");
    assert!(writable.contains(&&*format!("\"-{}\"", fleet.hub().path().display())), "{writable:?}");
    assert!(writable.contains(&&*format!("\"-{}\"", clone.display())), "{writable:?}");
}

/// `systemctl` is a script that writes down how it was called.
#[test]
fn a_unit_is_started_in_place_of_the_other() {
    let (_fleet, host) = joined();
    put_program(&host, "systemctl", "#!/bin/sh\necho \"$*\" >>\"$HOME/calls\"\n[ ! -e \"$HOME/broken\" ]\n");
    let units = host.place("HOME").join("units");
    let start = |args: &[&str]| {
        let calls = host.place("HOME").join("calls");
        fs::remove_file(&calls).ok();
        let ended = run(&host, SCRIPT, &[&["--dir", units.to_str().unwrap(), "--start"], args].concat());
        (ended, fs::read_to_string(calls).unwrap_or_default())
    };
    let (beats, calls) = start(&[]);
    beats.success();
    assert_snapshot!(calls, @r#"
    daemon-reload
    enable git-muster-heartbeat.service
    restart git-muster-heartbeat.service
    "#);
    let (worker, calls) = start(&["--worker", "--allow-any"]);
    worker.success();
    assert_snapshot!(calls, @r#"
    daemon-reload
    disable --now git-muster-heartbeat.service
    enable git-muster-worker.service
    restart git-muster-worker.service
    "#);
    fs::write(host.place("HOME").join("broken"), "").unwrap();
    let (failed, _) = start(&[]);
    let failed = failed.code(2);
    assert!(
        failed.stderr().contains("is written, but systemd did not start it\nhint: see `systemctl status"),
        "{failed}"
    );
}
