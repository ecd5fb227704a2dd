//! What is counted, for whoever watches the server. Counting is a relaxed atomic or a few, once for a batch where there is one;
//! everything else is done when someone asks.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder, exponential_buckets,
};

/// The upper bounds of latencies, in seconds: 0.5 ms to 8 s.
const LATENCIES: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 8.0];

/// The counters of one server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Counters>);

/// Each field's help is what `/metrics` says of it.
#[derive(Debug)]
pub struct Counters {
    registry: Registry,
    /// Live connections.
    pub connections: IntGauge,
    /// Live connections that were opened.
    pub opened: IntCounter,
    /// Events of logs that were handed to connections.
    pub deliveries: IntCounter,
    /// Changes that wait for the writer; set when someone asks.
    queue: IntGauge,
    /// Whether the disk is full, 0 or 1; set when someone asks.
    disk_full: IntGauge,
    /// Events of logs that were committed.
    pub events: IntCounter,
    /// Changes in each transaction of the writer.
    pub commit_changes: Histogram,
    /// How long each transaction of the writer took.
    pub commit_time: Histogram,
    /// From a message's arrival to its being committed and handed on.
    pub send_time: Histogram,
    /// Transactions of the writer that failed.
    pub failures: IntCounter,
    /// Connections that had fallen behind and read what they had missed.
    pub resynced: IntCounter,
    /// Rooms that a client was told to fetch anew.
    pub limited: IntCounter,
    /// Logins that were accepted, and refused.
    pub logins: IntCounter,
    pub refused_logins: IntCounter,
    /// Passwords that were hashed, to keep or to check.
    pub hashes: IntCounter,
    /// What was refused as too fast, by what it was.
    throttled: IntCounterVec,
    /// Requests answered, by the first digit of the status: `requests[2]` is 2xx.
    requests: [IntCounter; 6],
    /// From a request's arrival to its answer's head.
    request_time: Histogram,
}

impl std::ops::Deref for Metrics {
    type Target = Counters;
    fn deref(&self) -> &Counters {
        &self.0
    }
}

/// Fails only when a name is malformed or given twice, which every start of a server would show.
fn new(engine: &str) -> prometheus::Result<Counters> {
    let registry = Registry::new();
    let counter = |name: &str, help: &str| -> prometheus::Result<IntCounter> {
        let counter = IntCounter::new(name, help)?;
        registry.register(Box::new(counter.clone()))?;
        Ok(counter)
    };
    let gauge = |name: &str, help: &str| -> prometheus::Result<IntGauge> {
        let gauge = IntGauge::new(name, help)?;
        registry.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    };
    let histogram = |name: &str, help: &str, buckets: Vec<f64>| -> prometheus::Result<Histogram> {
        let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?;
        registry.register(Box::new(histogram.clone()))?;
        Ok(histogram)
    };
    let family = |name: &str, help: &str, label: &str| -> prometheus::Result<IntCounterVec> {
        let family = IntCounterVec::new(Opts::new(name, help), &[label])?;
        registry.register(Box::new(family.clone()))?;
        Ok(family)
    };

    let build = Opts::new("snug_build_info", "Always 1: the version that runs, and its database's engine.");
    let build = IntGauge::with_opts(build.const_label("version", env!("CARGO_PKG_VERSION")).const_label("engine", engine))?;
    build.set(1);
    registry.register(Box::new(build))?;
    let resyncs = family("snug_resyncs_total", "Catching up, by how: from the log, or the room fetched anew.", "how")?;
    let logins = family("snug_logins_total", "Logins tried, by outcome.", "outcome")?;
    let requests = family("snug_requests_total", "HTTP requests answered, by class of status.", "status")?;
    let latencies = || LATENCIES.to_vec();
    Ok(Counters {
        connections: gauge("snug_connections", "Live connections (WebSockets).")?,
        opened: counter("snug_connections_opened_total", "Live connections that were opened.")?,
        deliveries: counter("snug_deliveries_total", "Events of logs handed to live connections.")?,
        queue: gauge("snug_writer_queue", "Changes that wait for the writer.")?,
        disk_full: gauge("snug_disk_full", "1 while the disk has no room for anything new.")?,
        events: counter("snug_events_total", "Events of logs committed: messages, joins, leaves, closings.")?,
        commit_changes: histogram(
            "snug_commit_changes",
            "Changes in each transaction of the writer.",
            exponential_buckets(1.0, 2.0, 11)?,
        )?,
        commit_time: histogram("snug_commit_seconds", "Duration of each transaction of the writer.", latencies())?,
        send_time: histogram("snug_send_seconds", "From a message's arrival to its being committed and handed on.", latencies())?,
        failures: counter("snug_commit_failures_total", "Transactions of the writer that failed.")?,
        resynced: resyncs.with_label_values(&["log"]),
        limited: resyncs.with_label_values(&["anew"]),
        logins: logins.with_label_values(&["accepted"]),
        refused_logins: logins.with_label_values(&["refused"]),
        hashes: counter("snug_password_hashes_total", "Passwords hashed, to keep or to check.")?,
        throttled: family("snug_throttled_total", "What was refused as too fast, by what it was.", "what")?,
        requests: ["other", "1xx", "2xx", "3xx", "4xx", "5xx"].map(|class| requests.with_label_values(&[class])),
        request_time: histogram(
            "snug_request_seconds",
            "From an HTTP request's arrival to the head of its answer.",
            latencies(),
        )?,
        registry,
    })
}

impl Metrics {
    /// Counters at zero, for a server on the database engine `engine`.
    #[must_use]
    pub fn new(engine: &str) -> Self {
        Self(Arc::new(new(engine).expect("the names are well-formed, and each is there once")))
    }

    /// Counts a request that was answered with `status` after `time`.
    pub fn answered(&self, status: u16, time: Duration) {
        self.requests.get(usize::from(status / 100)).unwrap_or(&self.requests[0]).inc();
        self.request_time.observe(time.as_secs_f64());
    }

    /// Counts what was refused as too fast: a `login`, a `sign_up`, …
    pub fn throttled(&self, what: &str) {
        self.throttled.with_label_values(&[what]).inc();
    }

    /// Prometheus' text format, version 0.0.4. `queue` is how many changes wait for the writer now, `disk_full` whether they find
    /// no room.
    #[must_use]
    pub fn text(&self, queue: usize, disk_full: bool) -> String {
        self.disk_full.set(disk_full.into());
        self.queue.set(i64::try_from(queue).unwrap_or(i64::MAX));
        let mut text = Vec::with_capacity(8 * 1024);
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "the metrics could not be written");
        }
        String::from_utf8(text).unwrap_or_default()
    }
}
