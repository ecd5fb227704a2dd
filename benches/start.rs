//! Starting, being there, and being visited for the first time.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::wire::Http;
use crate::world::{World, folder, run, serve, thousands};
use crate::{Bench, process};

const TIMES: usize = 11;

pub fn measure(bench: &Bench) {
    let times = bench.scaled(TIMES).max(3);
    let mut first: Vec<Duration> = (0..times).map(|_| ready(bench, &folder())).collect();
    let used = folder();
    ready(bench, &used);
    let mut again: Vec<Duration> = (0..times).map(|_| ready(bench, &used)).collect();
    let idle = {
        let data = folder();
        let server = serve(bench, &data);
        run(async { tokio::time::sleep(Duration::from_secs(3)).await });
        process::resident(server.pid())
    };
    let size = std::fs::metadata(&bench.program).expect("the program is a file").len();

    println!("### Starting\n");
    println!("From the start of the process to the first `200` of `/readyz`; medians of {times}.\n");
    println!("| first start (empty folder) | later start | resident when idle | program |");
    println!("| ---: | ---: | ---: | ---: |");
    println!(
        "| {} ms | {} ms | {:.1} MiB | {:.1} MiB |\n",
        median(&mut first).as_millis(),
        median(&mut again).as_millis(),
        idle as f64 / 1024.0 / 1024.0,
        size as f64 / 1024.0 / 1024.0,
    );
    visits(bench);
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// How long it takes until the server is ready.
fn ready(bench: &Bench, data: &tempfile::TempDir) -> Duration {
    let began = Instant::now();
    let server = serve(bench, data);
    run(async {
        while Http::connect(server.address()).await.get("/readyz", "").await.status != 200 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let took = began.elapsed();
    assert!(server.terminate().success(), "it ends in order");
    took
}

/// What a browser that has nothing fetches: the page, and every asset that it names.
fn visits(bench: &Bench) {
    println!("### A first visit\n");
    println!(
        "Bytes of the bodies, as brotli; what a page names and what that imports. Addresses of the fonts and pictures are followed too.\n"
    );
    println!("| page | page itself | styles | scripts | WebAssembly | other | together |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    run(async {
        let world = World::start(bench);
        let person = world.people(1).await.remove(0);
        for (path, cookie) in [("/login", String::new()), ("/room/general", format!("Cookie: {person}\r\n"))] {
            let (mut styles, mut scripts, mut wasm, mut other) = (0, 0, 0, 0);
            let mut http = Http::connect(world.address()).await;
            let page = fetch(&mut http, path, &cookie).await;
            let plain = http.get(path, &cookie).await;
            let mut found = named(&String::from_utf8_lossy(&plain.body), path);
            let mut fetched = BTreeSet::new();
            while let Some(asset) = found.pop_first() {
                if !fetched.insert(asset.clone()) {
                    continue;
                }
                let bytes = fetch(&mut http, &asset, &cookie).await;
                eprintln!("  {path}: {asset}: {bytes} bytes");
                let file = asset.split('?').next().unwrap_or_default();
                match file.rsplit('.').next().unwrap_or_default() {
                    "css" => styles += bytes,
                    "js" | "mjs" => scripts += bytes,
                    "wasm" => wasm += bytes,
                    _ => other += bytes,
                }
                if file.ends_with(".css") || file.ends_with(".js") {
                    let text = http.get(&asset, &cookie).await.body;
                    found.extend(imported(&String::from_utf8_lossy(&text), &asset));
                }
            }
            let row = [page, styles, scripts, wasm, other, page + styles + scripts + wasm + other];
            println!("| `{path}` | {} |", row.map(|bytes| thousands(bytes as f64)).join(" | "));
        }
    });
    println!();
}

async fn fetch(http: &mut Http, path: &str, cookie: &str) -> usize {
    let reply = http.get(path, &format!("{cookie}Accept-Encoding: br\r\n")).await;
    assert_eq!(reply.status, 200, "{path}");
    reply.body.len()
}

/// The assets that a page's `link`, `script` and `img` elements name, and those that its islands are started with.
fn named(html: &str, base: &str) -> BTreeSet<String> {
    let tags = html.split('<').filter(|tag| ["link ", "script ", "img "].iter().any(|name| tag.starts_with(name)));
    let addresses = tags.flat_map(|tag| {
        let tag = tag.split('>').next().unwrap_or_default();
        ["href=\"", "src=\""].into_iter().filter_map(move |name| tag.split(name).nth(1)?.split('"').next())
    });
    // The script in the page is told their folder.
    let folder = html.split('"').find(|quoted| quoted.starts_with("/b/") && quoted.ends_with("/pkg"));
    let started = folder.into_iter().flat_map(|folder| ["snug.js", "snug.wasm"].map(|file| format!("{folder}/{file}")));
    addresses.filter_map(|address| resolve(address, base)).chain(started).collect()
}

/// What a script imports and a style names.
fn imported(text: &str, base: &str) -> BTreeSet<String> {
    let parts: Vec<&str> = text.split(['"', '\'']).collect();
    let imports = |before: &str| ["from", "import", "import("].iter().any(|word| before.trim_end().ends_with(word));
    let quoted = parts.windows(2).filter(|pair| imports(pair[0])).map(|pair| pair[1]);
    let urls = text.split("url(").skip(1).filter_map(|rest| rest.split(')').next()).map(|url| url.trim_matches(['"', '\'']));
    quoted.chain(urls).filter_map(|address| resolve(address, base)).collect()
}

/// The path on this server that an address means, or none when it is elsewhere.
fn resolve(address: &str, base: &str) -> Option<String> {
    if address.starts_with("data:") || address.starts_with('#') {
        return None;
    }
    let base = url::Url::parse("http://snug.invalid").ok()?.join(base).ok()?;
    let url = base.join(&address.replace("&amp;", "&")).ok()?;
    (url.host_str() == Some("snug.invalid")).then(|| url[url::Position::BeforePath..].to_owned())
}
