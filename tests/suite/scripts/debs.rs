//! `build_debs.sh`: a tiny source package becomes packages that dpkg takes, or the script fails.
//!
//! Nothing is installed: `dpkg` is a script that writes down what it was to install.

use super::{files_in, folder, machine, put_program};
use crate::support::{Fleet, Host, HostCommand, Run, need};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a build needs.
const TOOLS: [&str; 2] = ["dpkg-buildpackage", "fakeroot"];

/// A build with debhelper takes seconds, on a busy machine more.
const BUILD_BOUND: Duration = Duration::from_secs(180);

/// A package that distributions will never have.
const GONE: &str = "muster-test-gone";

const DPKG: &str = r#"#!/bin/sh
case $1 in
    --install) cp "$2" "$HOME/installed.deb" ;;
    *) exec /usr/bin/dpkg "$@" ;;
esac
"#;

/// Rules without debhelper.
const RULES: &str = "#!/usr/bin/make -f
build clean:
binary:
\tmkdir -p debian/tiny/DEBIAN debian/tiny/usr/share/tiny
\techo hello >debian/tiny/usr/share/tiny/hello
\tdpkg-gencontrol -ptiny -Pdebian/tiny
\tdpkg-deb --root-owner-group --build debian/tiny ..
binary-arch build-arch build-indep:
binary-indep: binary
.PHONY: build clean binary binary-arch binary-indep
";

const RULES_OF_DEBHELPER: &str = "#!/usr/bin/make -f\n%:\n\tdh $@\n";

fn executable(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A source tree on a machine that installs nothing.
struct Source {
    host: Host,
    tree: PathBuf,
}

impl Source {
    fn new(fleet: &Fleet, depends: &str, rules: &str) -> Self {
        let host = machine(fleet);
        put_program(&host, "dpkg", DPKG);
        let tree = host.directory().join("tiny source");
        fs::create_dir_all(tree.join("debian/source")).unwrap();
        let control = format!(
            "Source: tiny\nSection: misc\nPriority: optional\nMaintainer: T <t@example.invalid>\n\
             Build-Depends: {depends}\nRules-Requires-Root: no\n\n\
             Package: tiny\nArchitecture: all\nDescription: tiny\n Nothing more.\n"
        );
        let changelog = "tiny (1:1.0) unstable; urgency=low\n\n  * First.\n\n -- T <t@example.invalid>  Sat, 21 Nov 2026 00:00:00 +0000\n";
        fs::write(tree.join("debian/control"), control).unwrap();
        fs::write(tree.join("debian/changelog"), changelog).unwrap();
        fs::write(tree.join("debian/source/format"), "3.0 (native)\n").unwrap();
        executable(&tree.join("debian/rules"), rules);
        Self { host, tree }
    }

    fn command(&self, more: &[&str]) -> HostCommand {
        let command = self.host.program(folder().join("build_debs.sh")).bound(BUILD_BOUND);
        command.args(["--repo", "tiny source", "--out", "debs"]).args(more).env("BUILD_DEBS_GONE", GONE)
    }

    #[track_caller]
    fn build(&self, more: &[&str]) -> Run {
        self.command(more).run()
    }

    fn debs(&self) -> PathBuf {
        self.host.directory().join("debs")
    }

    /// The package is one, and is the one that was asked for.
    #[track_caller]
    fn assert_built(&self, run: &Run) {
        let deb = self.debs().join("tiny_1.0_all.deb");
        assert_eq!(run.stdout(), format!("{}\n", deb.display()), "{run}");
        let told = self.host.program("dpkg-deb").args(["-I".as_ref(), deb.as_os_str()]).run().success();
        assert!(told.stdout().contains(" Package: tiny\n"), "{told}");
    }

    fn nothing_came_out(&self) {
        assert_eq!(files_in(&self.debs()), [""; 0]);
    }
}

#[test]
fn a_source_tree_becomes_packages() {
    if !need::is_here(&TOOLS) || !need::is_here(&["dh"]) {
        return;
    }
    let fleet = Fleet::new();
    let source = Source::new(&fleet, "debhelper-compat (= 13)", RULES_OF_DEBHELPER);
    let built = source.build(&["--no-equivs"]).success();
    source.assert_built(&built);
    assert!(!built.stderr().contains("without them"), "{built}");
    let files = files_in(&source.debs());
    assert_eq!(files.len(), 3, "{files:?}");
    for kind in [".deb", ".changes", ".buildinfo"] {
        assert!(files.iter().any(|name| name.ends_with(kind)), "{files:?}");
    }
    // The second build replaces the first.
    let again = source.build(&["--no-equivs"]).success();
    source.assert_built(&again);
    assert_eq!(files_in(&source.debs()), files);
}

#[test]
fn a_missing_build_dependency_is_gone_without() {
    if !need::is_here(&TOOLS) {
        return;
    }
    let fleet = Fleet::new();
    let source = Source::new(&fleet, &format!("{GONE} (>= 2), muster-test-other"), RULES);
    // These rules clean nothing: what an earlier build made stands here still.
    fs::write(source.tree.join("debian/files"), "gone_0.9_all.deb misc optional\n").unwrap();
    let built = source.build(&["--no-equivs"]).success();
    source.assert_built(&built);
    let said = format!(
        "build dependencies are missing, and it is built without them: {GONE} (>= 2) muster-test-other\n"
    );
    assert!(built.stderr().contains(&said), "{built}");
    assert!(!source.host.place("HOME").join("installed.deb").exists());
}

#[test]
fn an_empty_package_stands_in_for_one_that_is_gone() {
    if !need::is_here(&TOOLS) || !need::is_here(&["equivs-build", "dh"]) {
        return;
    }
    let fleet = Fleet::new();
    let source = Source::new(&fleet, &format!("{GONE} (>= 2), muster-test-other"), RULES);
    // Whoever is not root asks sudo, which asks for no password here.
    put_program(&source.host, "sudo", "#!/bin/sh\n[ \"$1\" = -n ] || exit 1\nshift\nexec \"$@\"\n");
    let built = source.build(&[]).success();
    source.assert_built(&built);
    let installed = source.host.place("HOME").join("installed.deb");
    assert!(installed.exists(), "{built}");
    let told = source.host.program("dpkg-deb").args(["-I".as_ref(), installed.as_os_str()]).run().success();
    assert!(told.stdout().contains(&format!(" Package: {GONE}\n Version: 99.0\n")), "{told}");
    fs::remove_file(&installed).unwrap();
    // What apt has is not replaced by an empty one.
    put_program(&source.host, "apt-cache", "#!/bin/sh\necho \"$3 | 3.0 | somewhere\"\n");
    let built = source.build(&[]).success();
    assert!(built.stderr().contains(&format!("`{GONE}` is missing and is to be had")), "{built}");
    assert!(!installed.exists());
}

/// The tree's own script goes first, and is held to the same: no package, no success.
#[test]
fn the_packaging_of_the_tree_is_preferred() {
    if !need::is_here(&TOOLS) {
        return;
    }
    let fleet = Fleet::new();
    let source = Source::new(&fleet, "muster-test-other", RULES);
    let own = source.tree.join("packaging/build-deb.sh");
    executable(
        &own,
        "#!/bin/sh\nset -eu\n[ \"$1\" = -o ]\nmkdir -p own/DEBIAN\n\
         printf 'Package: own\\nVersion: 1\\nArchitecture: all\\nMaintainer: T <t@example.invalid>\\nDescription: own\\n' >own/DEBIAN/control\n\
         dpkg-deb --build own \"$2/own_1_all.deb\"\n",
    );
    let built = source.build(&["--no-equivs"]).success();
    assert_eq!(built.stdout(), format!("{}\n", source.debs().join("own_1_all.deb").display()));
    fs::remove_file(source.debs().join("own_1_all.deb")).unwrap();

    executable(&own, "#!/bin/sh\nexit 0\n");
    let failed = source.build(&["--no-equivs"]).code(2);
    assert!(failed.stderr().contains("the build made no package; nothing was put into"), "{failed}");
    source.nothing_came_out();

    executable(&own, "#!/bin/sh\necho 'not a package' >\"$2/fake_1_all.deb\"\n");
    let failed = source.build(&["--no-equivs"]).code(2);
    assert!(failed.stderr().contains("`fake_1_all.deb` is no package"), "{failed}");
    source.nothing_came_out();

    // It fails where dependencies are missing: they may be why.
    executable(&own, "#!/bin/sh\ntouch \"$2/half\"\nexit 7\n");
    let built = source.build(&["--no-equivs"]).success();
    source.assert_built(&built);
    assert!(!source.debs().join("half").exists());
}

#[test]
fn a_build_that_fails_leaves_nothing() {
    if !need::is_here(&TOOLS) {
        return;
    }
    let fleet = Fleet::new();
    let source = Source::new(&fleet, "make", "#!/bin/sh\necho 'no rule' >&2\nexit 1\n");
    let failed = source.build(&["--no-equivs"]).code(2);
    assert_eq!(failed.stdout(), "");
    assert!(
        failed.stderr().contains("no rule")
            && failed.stderr().contains("the build failed; nothing was put into"),
        "{failed}"
    );
    source.nothing_came_out();
}

#[test]
fn what_cannot_be_built_is_refused() {
    let fleet = Fleet::new();
    let host = machine(&fleet);
    fs::create_dir(host.directory().join("empty")).unwrap();
    let cases: &[(&[&str], &str)] = &[
        (&["--repo", "empty", "--out", "debs"], "has neither debian/control nor packaging/build-deb.sh"),
        (&["--repo", "nowhere", "--out", "debs"], "has neither debian/control nor packaging/build-deb.sh"),
        (&["--repo", "empty"], "--out is needed"),
        (&["--out", "debs"], "--repo is needed"),
        (&["--repo"], "--repo needs a folder behind it"),
        (&["--fast"], "`--fast` means nothing here"),
    ];
    for (args, why) in cases {
        let refused = host.program(folder().join("build_debs.sh")).args(*args).run().code(1);
        assert!(refused.stderr().contains(why) && refused.stderr().contains("nothing was"), "{refused}");
    }
    assert_eq!(files_in(host.directory()), ["empty"]);
}
