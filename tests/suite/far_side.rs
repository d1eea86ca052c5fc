//! What the far side says: whose words they are, what they mean, and what to do next.

use crate::support::{Fleet, Host, MAIN, Run, Transport, git, inspect, need};
use std::fs;
use std::path::Path;
use std::process::Command;

/// A greeting of sshd, in the words of many refusals.
const GREETING: &str = "Permission to use this system is granted to staff only.\n\
    ACCESS DENIED to others; authentication failed attempts are logged.\n\
    FATAL: this is a production system\nRepository not found? Call the help desk.\n";

/// Has ssh show the greeting, as it does for people.
fn shows_greeting(host: &mut Host, fleet: &Fleet) {
    fs::write(fleet.hub().server_directory().join("greeting"), GREETING).unwrap();
    let configuration = fleet.hub().server_directory().join("ssh_config");
    host.set("GIT_SSH_COMMAND", format!("ssh -F {} -o LogLevel=INFO", configuration.display()));
}

/// The cause in the answer of a command that ended with `code`, and what it said.
#[track_caller]
fn cause(host: &Host, code: i32, args: &[&str]) -> (String, String) {
    let run = host.command(["--json", "--timeout", "5s"]).args(args).run().code(code);
    let error = answer(&run);
    (error["cause"].as_str().unwrap_or_default().to_owned(), error.to_string())
}

fn answer(run: &Run) -> serde_json::Value {
    let line = run.stderr().lines().rfind(|line| line.starts_with('{'));
    serde_json::from_str(line.unwrap_or_else(|| run.fail("no answer"))).unwrap()
}

/// Runs gitolite in a home of its own.
#[track_caller]
fn gitolite(home: &Path, args: &[&str]) {
    let done = Command::new("gitolite").args(args).env("HOME", home).env_remove("GIT_DIR").output().unwrap();
    assert!(done.status.success(), "{done:?}");
}

#[test]
fn gitolite_is_quoted_and_never_waited_for() {
    if !need::is_here(&["sshd", "ssh", "gitolite"]) {
        return;
    }
    let fleet = Fleet::over(Transport::Ssh).founded();
    let mut ada = fleet.server("ada");
    let home = fleet.hub().server_directory().join("gitolite");
    fs::create_dir(&home).unwrap();
    gitolite(&home, &["setup", "-a", "keeper"]);
    let rules = "repo hub\n  RW = keeper\n  R = reader\n";
    fs::write(home.join(".gitolite/conf/gitolite.conf"), rules).unwrap();
    gitolite(&home, &["compile"]);
    let hub = home.join("repositories/hub.git");
    let main = fleet.hub().tip(MAIN).unwrap();
    git(
        &hub,
        [
            "-c",
            "core.hooksPath=/dev/null",
            "fetch",
            "--quiet",
            &fleet.hub().path().display().to_string(),
            "main",
        ],
    );
    git(&hub, ["update-ref", "refs/heads/main", &main]);
    // As gitolite does it: the key decides who it is.
    let keys = fleet.hub().server_directory().join("key.pub");
    let key = fs::read_to_string(&keys).unwrap();
    let shell = format!("env HOME={} /usr/share/gitolite3/gitolite-shell reader", home.display());
    fs::write(&keys, format!("command=\"{shell}\" {key}")).unwrap();

    for greets in [false, true] {
        if greets {
            shows_greeting(&mut ada, &fleet);
        }
        ada.run(["--hub", "hub.test:hub", "job", "list"]).success();
        let (why, said) = cause(&ada, 4, &["--hub", "hub.test:hub", "job", "add", "--type", "test"]);
        assert_eq!(why, "may_not_write", "{said}");
        assert!(said.contains("FATAL: W any hub reader DENIED by fallthru"), "{said}");
        assert!(!said.contains("later") && said.contains("let this account push"), "{said}");
        let run = ada.run(["--hub", "hub.test:hub", "doctor", "hub-writable"]).code(1);
        assert!(run.stdout().contains("DENIED by fallthru"), "{run}");
        assert!(run.stdout().contains("read and not write"), "{run}");
        for args in [&["job", "list"][..], &["job", "add", "--type", "test"]] {
            let (why, said) = cause(&ada, 4, &[&["--hub", "hub.test:hubb"], args].concat());
            assert_eq!(why, "no_repository_or_hidden", "{said}");
            assert!(said.contains("FATAL: R any hubb reader DENIED by fallthru"), "{said}");
            assert!(!said.contains("later") && !said.contains("let this account push"), "{said}");
        }
    }
}

#[test]
fn a_greeting_decides_nothing() {
    if !need::is_here(&["sshd", "ssh"]) {
        return;
    }
    let fleet = Fleet::over(Transport::Ssh).founded();
    let mut ada = fleet.server("ada");
    shows_greeting(&mut ada, &fleet);
    ada.run(["job", "add", "--type", "test"]).success();
    // Whoever is let in and cut off at once has not been refused.
    let keys = fleet.hub().server_directory().join("key.pub");
    let key = fs::read_to_string(&keys).unwrap();
    fs::write(&keys, format!("command=\"kill -9 $$\" {key}")).unwrap();
    for args in [&["job", "add", "--type", "test"][..], &["job", "list"]] {
        let (why, said) = cause(&ada, 7, args);
        assert_eq!(why, "silent", "{said}");
        assert!(said.contains("git ls-remote"), "{said}");
    }
    fs::write(&keys, key).unwrap();
    ada.run(["job", "add", "--type", "test"]).success();
    assert_eq!(
        inspect::document(fleet.hub(), MAIN, "coordination/jobs.json")["jobs"].as_array().unwrap().len(),
        2
    );
}

#[test]
fn each_way_not_to_get_in_is_told_from_the_others() {
    if !need::is_here(&["sshd", "ssh"]) {
        return;
    }
    let fleet = Fleet::over(Transport::Ssh).founded();
    let mut ada = fleet.server("ada");
    let configuration = fleet.hub().server_directory().join("ssh_config");
    let ssh = |more: &str| format!("ssh -F {} {more}", configuration.display());
    let nobody = fleet.hub().server_directory().join("nobody");
    let hub = fleet.hub().url();
    for (more, address, code, expected, hint) in [
        ("", "ssh://hub.test/no/such/place.git", 4, "no_repository", "check the address"),
        ("-o UserKnownHostsFile=/dev/null", &hub, 4, "host_key_unknown", "connect once with `ssh hub.test`"),
        ("-o IdentitiesOnly=no -o PubkeyAuthentication=no", &hub, 4, "authentication", "offered ssh keys"),
        ("-o HostName=no.such.host.invalid", &hub, 7, "name_unknown", "check the hub address"),
        ("-o Port=1", &hub, 7, "network", "try again later"),
        (&format!("-o ProxyCommand={}", nobody.display()), &hub, 7, "network", "try again later"),
    ] {
        ada.set("GIT_SSH_COMMAND", ssh(more));
        for args in [&["job", "add", "--type", "test"][..], &["job", "list"]] {
            let (why, said) = cause(&ada, code, &[&["--hub", address], args].concat());
            // A proxy that ends at once may leave ssh no time for a word.
            if why == "silent" && more.contains("ProxyCommand") {
                continue;
            }
            assert_eq!(why, expected, "{more} {args:?}: {said}");
            assert!(said.contains(hint), "{more} {args:?}: {said}");
            assert!(!said.contains("let this account push"), "{more} {args:?}: {said}");
        }
    }
    // The key of another host under this name.
    let known = fleet.hub().server_directory().join("other_hosts");
    let other = fs::read_to_string(fleet.hub().server_directory().join("known_hosts")).unwrap();
    let other = other.replace("AAAAC3NzaC1lZDI1NTE5AAAAI", "AAAAC3NzaC1lZDI1NTE5AAAAIA");
    let other: Vec<&str> = other.split_whitespace().collect();
    let shortened = other[2].get(..68).unwrap();
    fs::write(&known, format!("{} {} {shortened}\n", other[0], other[1])).unwrap();
    ada.set("GIT_SSH_COMMAND", ssh(&format!("-o UserKnownHostsFile={}", known.display())));
    let (why, said) = cause(&ada, 4, &["job", "list"]);
    assert_eq!(why, "host_key_changed", "{said}");
    let forget = "ssh-keygen -R hub.test";
    assert!(said.contains(forget), "{said}");
    // What is said, done: then the host is a new one.
    let mut words = forget.split(' ').map(str::to_owned).collect::<Vec<_>>();
    words.extend(["-f".to_owned(), known.display().to_string()]);
    let done = Command::new(&words[0]).args(&words[1..]).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    assert_eq!(cause(&ada, 4, &["job", "list"]).0, "host_key_unknown");
}

/// Settings of a user that are no business of a hub.
const OF_THE_USER: &str = "[push]\n\tpushOption = ci.skip\n\tfollowTags = true\n\tgpgSign = if-asked\n\
    [remote \"origin\"]\n\tmirror = true\n[core]\n\thooksPath = HOOKS\n";

#[test]
fn what_the_user_set_for_other_repositories_is_not_sent_to_a_hub() {
    Transport::each(&[Transport::Path, Transport::FileUrl, Transport::Ssh, Transport::Http], |transport| {
        let fleet = Fleet::over(transport).founded();
        // A hub at a path is pushed to, too.
        fleet.hub().install_hook("update", "#!/bin/sh\nexit 0\n");
        fleet.hub().git(["config", "receive.advertisePushOptions", "false"]);
        let hosts = [fleet.server("ada"), fleet.server_in_clone("bob")];
        for mut host in hosts {
            let hooks = host.directory().join(".git/of-the-user");
            fs::create_dir_all(&hooks).unwrap();
            let trace = hooks.join("trace");
            for name in ["reference-transaction", "pre-push", "post-checkout", "post-index-change"] {
                let hook = hooks.join(name);
                fs::write(&hook, format!("#!/bin/sh\necho {name} >>{}\nexit 1\n", trace.display())).unwrap();
                fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
            }
            let settings = host.directory().join(".git/settings");
            let text = OF_THE_USER.replace("HOOKS", &hooks.display().to_string());
            // Over a path the hub is of the same user, whose hooks then are those of the hub.
            let is_ours = matches!(transport, Transport::Path | Transport::FileUrl);
            let text = if is_ours { text.split("[core]").next().unwrap().to_owned() } else { text };
            fs::write(&settings, text).unwrap();
            host.set("GIT_CONFIG_GLOBAL", &settings);
            for args in [
                &["job", "add", "--type", "test"][..],
                &["heartbeat"],
                &["message", "send", "--to", "all", "--subject", "x"],
                &["job", "list"],
            ] {
                host.run(args).success();
            }
            assert!(!trace.exists(), "{transport:?}: {}", fs::read_to_string(&trace).unwrap());
        }
    });
}

/// What a program says that asks a person.
const QUESTIONS: [&str; 5] = ["assword:", "assword for", "Username for", "yes/no", "assphrase"];

/// Answers every request over http that a name and a password are wanted.
fn wants_a_password() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            drop(std::io::Read::read(&mut stream, &mut head));
            let answer = "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"hub\"\r\nContent-Length: 0\r\n\
                          Connection: close\r\n\r\n";
            drop(std::io::Write::write_all(&mut stream, answer.as_bytes()));
        }
    });
    port
}

#[test]
fn nobody_at_a_terminal_is_ever_asked() {
    if !need::is_here(&["sshd", "ssh", "script"]) {
        return;
    }
    let fleet = Fleet::over(Transport::Ssh).founded();
    let mut ada = fleet.server("ada");
    // ssh as it is without any setting of ours: it may ask, and the server takes passwords.
    let directory = fleet.hub().server_directory();
    let configuration = fs::read_to_string(directory.join("ssh_config")).unwrap();
    let configuration: String = configuration
        .lines()
        .filter(|line| !line.contains("BatchMode") && !line.contains("StrictHostKeyChecking"))
        .map(|line| format!("{line}\n"))
        .collect();
    let programs = directory.join("programs");
    fs::create_dir(&programs).unwrap();
    let ssh = programs.join("ssh");
    let path = format!("{}:{}", programs.display(), ada.place("PATH").display());
    ada.unset("GIT_SSH_COMMAND");
    ada.set("PATH", path);
    let real = need::find("ssh").unwrap();
    let web = format!("http://127.0.0.1:{}/hub.git", wants_a_password());
    let no_key = configuration.replace("/key\n", "/no-such-key\n");
    let no_host = configuration.replace("/known_hosts", "/no-such-hosts");
    for (configuration, hub) in [(&no_key, fleet.hub().url()), (&no_host, fleet.hub().url()), (&no_key, web)]
    {
        let own = directory.join("own_config");
        fs::write(&own, configuration).unwrap();
        let script = format!("#!/bin/sh\nexec {} -F {} \"$@\"\n", real.display(), own.display());
        fs::write(&ssh, script).unwrap();
        fs::set_permissions(&ssh, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        for verb in ["job list", "job add --type test", "doctor hub-writable"] {
            let program = env!("CARGO_BIN_EXE_git-muster");
            let line = format!("{program} --timeout 5s --hub {hub} {verb}; echo ended with $?");
            let run = ada.program("script").args(["-qec", &line, "/dev/null"]).run().success();
            // git says what it would have asked for.
            let told = |line: &&str| line.contains("terminal prompts disabled");
            let shown: Vec<&str> = run.stdout().lines().filter(|line| !told(line)).collect();
            let is_asked = |question: &&str| shown.iter().any(|line| line.contains(question));
            assert!(!QUESTIONS.iter().any(is_asked), "{verb}\n{run}");
            let code = if verb.starts_with("doctor") { 0..=1 } else { 4..=4 };
            assert!(
                code.clone().any(|code| run.stdout().contains(&format!("ended with {code}"))),
                "{verb}\n{run}"
            );
        }
    }
}
