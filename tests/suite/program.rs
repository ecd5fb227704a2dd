//! The program's start, as an operator sees it fail: one clear line, and an exit code.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::Program;

const SNUG: &str = env!("CARGO_BIN_EXE_snug");

/// `snug serve` with these arguments, in this folder, until it gives up.
fn refused(folder: &Path, args: &[&str], env: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(SNUG);
    command.arg("serve").args(args).current_dir(folder).env_clear().envs(env.iter().copied()).env("RUST_LOG", "off");
    let Output { status, stderr, .. } = command.output().expect("the program runs");
    (status.code(), String::from_utf8(stderr).expect("UTF-8"))
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn a_busy_port_is_said_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("an address").to_string();
    let (code, said) = refused(folder().path(), &["--addr", &addr], &[]);
    assert_eq!(code, Some(1));
    assert!(said.starts_with(&format!("snug: cannot listen on {addr}: ")) && said.lines().count() == 1, "{said}");
}

#[test]
fn a_data_folder_in_use_is_said_in_one_line() {
    let folder = folder();
    let data = folder.path().join("data");
    let _first = Program::start(Path::new(SNUG), &["--data".as_ref(), data.as_os_str()]);
    let (code, said) = refused(folder.path(), &["--addr", "127.0.0.1:0"], &[]);
    assert_eq!((code, said.as_str()), (Some(1), "snug: data is in use by another snug server\n"));
}

#[test]
fn a_database_that_is_not_there_is_said_in_one_line() {
    let url = "postgres://nobody@127.0.0.1:1/none";
    let (code, said) = refused(folder().path(), &["--addr", "127.0.0.1:0"], &[("DATABASE_URL", url)]);
    assert_eq!(code, Some(1));
    assert!(said.starts_with("snug: the database cannot be opened: ") && said.lines().count() == 1, "{said}");
}

#[tokio::test]
async fn a_newer_database_is_said_in_one_line() {
    let folder = folder();
    let data = folder.path().join("data");
    drop(Program::start(Path::new(SNUG), &["--data".as_ref(), data.as_os_str()]));
    let url = format!("sqlite://{}", data.join("snug.db").display());
    let pool = sqlx::SqlitePool::connect(&url).await.expect("the database");
    sqlx::query("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', TRUE, x'00', 0)")
        .execute(&pool)
        .await
        .expect("written");
    pool.close().await;
    let (code, said) = refused(folder.path(), &["--addr", "127.0.0.1:0"], &[]);
    assert_eq!(code, Some(1));
    assert_eq!(said, "snug: the database's schema (version 9999) is newer than this program: install a newer snug\n");
}

#[test]
fn an_unknown_setting_is_refused_by_its_name_wherever_it_stands() {
    let folder = folder();
    let (code, said) = refused(folder.path(), &["--txt-max", "5"], &[]);
    assert!(code == Some(2) && said.contains("--txt-max"), "{said}");
    let (code, said) = refused(folder.path(), &[], &[("SNUG_TXT_MAX", "5")]);
    assert!(code == Some(1) && said.contains("SNUG_TXT_MAX") && said.lines().count() == 1, "{said}");
    std::fs::write(folder.path().join("Leptos.toml"), "txt_max = 5\n").expect("written");
    let (code, said) = refused(folder.path(), &[], &[]);
    assert!(code == Some(1) && said.contains("txt_max") && said.contains("Leptos.toml") && said.lines().count() == 1, "{said}");
}

#[test]
fn a_bad_value_is_refused_with_what_is_allowed() {
    let folder = folder();
    let (code, said) = refused(folder.path(), &["--text-max", "0"], &[]);
    assert_eq!((code, said.as_str()), (Some(1), "snug: text_max is 0: allowed is 1 to 16000\n"));
    let (code, said) = refused(folder.path(), &["--room-idle", "fortnight"], &[]);
    assert!(code == Some(2) && said.contains("--room-idle") && said.contains("never, hour, day, week, month"), "{said}");
    let (code, said) = refused(folder.path(), &[], &[("SNUG_PUBLIC_URL", "chat.example.org")]);
    assert!(code == Some(2) && said.contains("--public-url") && said.contains("https://chat.example.org"), "{said}");
    let (code, said) =
        refused(folder.path(), &["--addr", "127.0.0.1:0"], &[("DATABASE_URL", "mysql://root:geheim@localhost/snug")]);
    assert!(code == Some(1) && said.contains("postgres://") && said.lines().count() == 1 && !said.contains("geheim"), "{said}");
    let (code, said) = refused(folder.path(), &[], &[("SNUG_TOKEN_KEY", "geheim")]);
    assert_eq!(
        (code, said.as_str()),
        (Some(1), "snug: token_key can't be used: allowed are 32 characters or more, and no line breaks\n")
    );
    let (code, said) = refused(folder.path(), &["--cors-origins", "https://a.example/path"], &[]);
    assert!(code == Some(2) && said.contains("--cors-origins"), "{said}");
    let (code, said) = refused(folder.path(), &["--config", "nowhere.toml"], &[]);
    assert!(code == Some(1) && said.contains("nowhere.toml"), "{said}");
}

#[test]
fn the_settings_file_of_the_repository_is_valid_and_help_names_every_key_in_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let keys: String = std::fs::read_to_string(root.join("Leptos.toml"))
        .expect("the file")
        .lines()
        .filter_map(|line| {
            line.strip_prefix("# ").filter(|line| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')))
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let help = Command::new(SNUG).args(["serve", "--help"]).output().expect("the program runs");
    let help = String::from_utf8(help.stdout).expect("UTF-8");
    assert!(keys.lines().count() > 20);
    for line in keys.lines() {
        let flag = format!("--{}", line.split(' ').next().unwrap_or_default().replace('_', "-"));
        assert!(help.contains(&flag), "{flag}");
    }
    let folder = folder();
    // Uncommented, it is refused only for the database, which is not there.
    std::fs::write(
        folder.path().join("Leptos.toml"),
        keys.replace("127.0.0.1:3000", "127.0.0.1:0").replace("@localhost/", "@127.0.0.1:1/"),
    )
    .expect("written");
    let (code, said) = refused(folder.path(), &[], &[]);
    assert!(code == Some(1) && said.contains("the database cannot be opened"), "{said}");
}
