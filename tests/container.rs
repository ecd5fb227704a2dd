//! What the image holds, run as the image runs it: the static program alone in an empty root that it cannot write to, but for
//! `/data`, as a user that is nobody. `make container` builds the program and runs this; `SNUG_DEV_STATIC` names it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, RwLock};

use snug::protocol::Event;
use support::{PASSWORD, Program, Visitor, programs};

/// What the image may weigh, which is what the program weighs.
const MOST: u64 = 25 * 1024 * 1024;

/// A user and group that own nothing else.
const NOBODY: u32 = 10001;

struct Image {
    root: tempfile::TempDir,
    data: tempfile::TempDir,
}

impl Image {
    fn new(program: &Path) -> Self {
        let (root, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::copy(program, root.path().join("snug")).unwrap();
        fs::set_permissions(root.path().join("snug"), fs::Permissions::from_mode(0o555)).unwrap();
        fs::create_dir(root.path().join("data")).unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o555)).unwrap();
        if rustix::process::geteuid().is_root() {
            chown(data.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        Self { root, data }
    }

    /// The program in its root, with nothing of this system but its network.
    fn snug(&self, args: &[&str]) -> Command {
        let id = NOBODY.to_string();
        let root = rustix::process::geteuid().is_root();
        let mut command = Command::new(if root { "setpriv" } else { "bwrap" });
        if root {
            // Become nobody for good first: what follows has no right to undo it.
            command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--inh-caps=-all", "--no-new-privs", "bwrap"]);
        }
        command.args(["--unshare-all", "--share-net", "--die-with-parent", "--new-session", "--uid", &id, "--gid", &id]);
        command.args([Path::new("--ro-bind"), self.root.path(), Path::new("/")]);
        command.args([Path::new("--bind"), self.data.path(), Path::new("/data")]);
        // As in the Dockerfile.
        command.args(["--clearenv", "--setenv", "SNUG_DATA", "/data", "--setenv", "SQLITE_TMPDIR", "/data"]);
        command.args(["--chdir", "/", "/snug"]);
        command.args(args);
        command
    }

    fn serve(&self) -> Program {
        Program::run(self.snug(&["serve", "--addr", "127.0.0.1:0"]))
    }

    /// A command beside the server, as `docker exec` runs it.
    fn exec(&self, args: &[&str]) -> String {
        let output = self.snug(args).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

fn program() -> PathBuf {
    let path = std::env::var_os("SNUG_DEV_STATIC").expect("SNUG_DEV_STATIC names the static program: use `make container`");
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_alone_in_an_empty_root_is_a_whole_chat() {
    let program = program();
    let size = fs::metadata(&program).unwrap().len();
    assert!(size < MOST, "{size} bytes");
    let image = Image::new(&program);
    let server = image.serve();
    let address = Arc::new(RwLock::new(server.address()));
    let client = Visitor::client();
    let visitor = || Visitor::new(client.clone(), address.clone(), None);

    // A page, and what makes it live, out of the program itself.
    let page = visitor().get("/login").await;
    assert_eq!(page.status, 200);
    let folder = page.body.split("\"/b/").nth(1).and_then(|rest| rest.split('/').next()).expect("the page names its assets");
    for asset in ["snug.js", "snug.wasm", "snug.css"] {
        let asset = visitor().get(&format!("/b/{folder}/pkg/{asset}")).await;
        assert!(asset.status == 200 && asset.header("cache-control").contains("immutable"), "{asset:?}");
    }

    let (ada, bob) = (visitor().sign_up("ada").await, visitor().sign_up("bob").await);
    let (mut speaker, mut listener) = (ada.live().await, bob.live().await);
    speaker.say("general", "out of an empty root").await;
    listener.message("out of an empty root").await;
    let addr = server.address().to_string();
    assert_eq!(image.exec(&["health", "--addr", &addr]), "ready\n");
    assert!(image.exec(&["admin", "users"]).contains("bob@example.org"));
    assert!(image.exec(&["backup", "/data/backup.db"]).contains("messages: 1"));

    server.kill();
    let server = image.serve();
    *address.write().unwrap() = server.address();
    let log = ada.log("general").await;
    let texts: Vec<_> = log.iter().filter_map(|e| if let Event::Message(m) = e { Some(m.text.as_str()) } else { None }).collect();
    assert_eq!(texts, ["out of an empty root"], "and a kill takes nothing of it");
    visitor().log_in("bob", PASSWORD).await;
    let left: Vec<_> = fs::read_dir(image.root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    drop(server);
}

#[test]
fn what_the_image_is_made_and_run_by_has_no_fault_that_a_linter_knows() {
    let tools = programs("python");
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lint = |tool: &str, args: &[&str]| {
        let output = Command::new(tools.join(tool)).args(args).current_dir(here).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{tool} {args:?}:\n{}", String::from_utf8_lossy(&said));
    };
    lint("hadolint", &["Dockerfile"]);
    lint("check-jsonschema", &["--builtin-schema", "vendor.compose-spec", "compose.yaml"]);
}
