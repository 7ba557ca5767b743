//! The programs under test, as processes: the daemon with the shipped rules, and whoever it is compared with.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::{Coding, Protocol};

/// `sysconf(_SC_CLK_TCK)` on every Linux that Debian builds.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running program; killed when it is dropped.
pub struct Process {
    child: Child,
    /// Where it takes telemetry.
    pub address: SocketAddr,
    /// Where it takes alerts; of the daemon only.
    pub alerts: SocketAddr,
    _folder: Option<tempfile::TempDir>,
}

/// How the daemon sends on.
#[derive(Clone, Copy)]
pub struct Out {
    pub protocol: Protocol,
    pub coding: Coding,
    pub graft: bool,
}

impl Process {
    pub fn tawny(sink: SocketAddr, out: Out) -> Process {
        let (folder, command) = prepare(sink, out, None, "");
        start(folder, command)
    }

    /// Takes alerts as well, whose pages go to `pager`.
    pub fn tawny_with_pager(sink: SocketAddr, out: Out, pager: SocketAddr) -> Process {
        let more = format!(
            "  - {{ name: pager, kind: pagerduty, routing_key: {{ env: TAWNY_BENCH_KEY }}, endpoint: \"http://{pager}\", \
             rate_per_minute: 60000000 }}\nsources:\n  - {{ name: prom, kind: alertmanager-api, auth: none }}\n"
        );
        let (folder, mut command) = prepare(sink, out, None, &more);
        command.env("TAWNY_BENCH_KEY", "0123456789abcdef0123456789abcdef");
        start(folder, command)
    }

    /// Below valgrind, which counts instructions into `counts`.
    pub fn tawny_counted(sink: SocketAddr, out: Out, counts: &Path) -> Process {
        let (folder, command) = prepare(sink, out, Some(counts), "");
        start(folder, command)
    }

    /// The bench's own reference, in a process of its own.
    pub fn reference(sink: SocketAddr, coding: Coding) -> Process {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let address = free_address();
        command.args(["--reference", &address.to_string(), &sink.to_string(), coding.name().unwrap_or("none")]);
        listening(command, address)
    }

    pub fn rotel(agent: &Path, sink: SocketAddr) -> Process {
        let address = free_address();
        let other = free_address();
        let mut command = Command::new(agent);
        command.args(["start", "--otlp-http-endpoint", &address.to_string()]);
        command.args([
            "--otlp-grpc-endpoint",
            &other.to_string(),
            "--exporter",
            "otlp",
            "--otlp-exporter-protocol",
            "http",
        ]);
        command.args(["--otlp-exporter-compression", "gzip", "--otlp-exporter-endpoint", &format!("http://{sink}")]);
        command.args(["--otel-resource-attributes", "tawny.platform=eks,tawny.cell=prod-c2-use1,tawny.owner=owls"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        listening(command, address)
    }

    /// User and system time of the whole process so far: what the scheduler counted for each thread in nanoseconds, or
    /// the kernel's own sum, which has steps of 10 ms, where that is more because threads have ended.
    pub fn cpu(&self) -> Duration {
        let home = format!("/proc/{}", self.child.id());
        let stat = std::fs::read_to_string(format!("{home}/stat")).unwrap();
        // The name in parentheses may hold blanks; fields 14 and 15 are counted from after it.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        let threads = std::fs::read_dir(format!("{home}/task")).unwrap().flatten();
        let counted: u64 = threads
            .filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok())
            .filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok())
            .sum();
        Duration::from_nanos(counted).max(Duration::from_secs_f64(ticks / TICKS_PER_SECOND))
    }

    /// `VmRSS` or `VmHWM`, in MB.
    pub fn memory_mb(&self, line: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|held| held.starts_with(line)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }

    /// Asks it to end and waits until it has.
    pub fn terminate(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("sh").args(["-c", "kill -TERM \"$0\"", &id]).status().unwrap().success());
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `more` stands behind the list of sinks.
fn prepare(sink: SocketAddr, out: Out, counts: Option<&Path>, more: &str) -> (tempfile::TempDir, Command) {
    let folder = tempfile::tempdir_in(std::env::var("TAWNY_BENCH_DIR").unwrap_or("target".into())).unwrap();
    let home = folder.path().display();
    let (protocol, compression) = (out.protocol.name(), out.coding.name().unwrap_or("none"));
    let settings = format!(
        "listen: \"127.0.0.1:0\"\notlp: {{ grpc: [], http: \"127.0.0.1:0\" }}\nstore: \"sqlite:{home}/tawny.db\"\n\
         log: {{ filter: warn }}\nsinks:\n  - {{ name: out, kind: otlp, endpoint: \"http://{sink}\", protocol: {protocol}, \
         compression: {compression}, graft: {} }}\n{more}spans: {{ to: [out] }}\n",
        out.graft
    );
    std::fs::write(folder.path().join("tawny.yaml"), settings).unwrap();
    let binary = std::env::var("TAWNY_BINARY").unwrap_or(env!("CARGO_BIN_EXE_tawny").into());
    let mut command = match counts {
        None => Command::new(binary),
        Some(counts) => {
            let mut command = Command::new("valgrind");
            command.args(["--tool=callgrind", "--combine-dumps=yes"]);
            // Valgrind counts each byte of a `rep movsb`, which is one instruction.
            command.env("GLIBC_TUNABLES", "glibc.cpu.x86_rep_movsb_threshold=1000000000");
            command.arg(format!("--callgrind-out-file={}", counts.display())).arg(binary);
            command
        }
    };
    command.arg("run").arg("--config").arg(folder.path().join("tawny.yaml"));
    command.arg("--port-file").arg(folder.path().join("port"));
    command.stderr(std::fs::File::create(folder.path().join("log")).unwrap()).stdin(Stdio::null());
    (folder, command)
}

fn start(folder: tempfile::TempDir, mut command: Command) -> Process {
    let mut child = command.process_group(0).spawn().unwrap();
    let port: PathBuf = folder.path().join("port");
    for _ in 0..60_000 {
        if let Ok(text) = std::fs::read_to_string(&port) {
            let addresses: Vec<SocketAddr> = text.lines().map(|line| line.parse().unwrap()).collect();
            let (alerts, address) = (addresses[0], addresses[addresses.len() - 1]);
            return Process { child, address, alerts, _folder: Some(folder) };
        }
        if child.try_wait().unwrap().is_some() {
            panic!("it ended: {}", std::fs::read_to_string(folder.path().join("log")).unwrap());
        }
        thread::sleep(Duration::from_millis(2));
    }
    panic!("it never listened");
}

fn listening(mut command: Command, address: SocketAddr) -> Process {
    let child = command.spawn().unwrap();
    let process = Process { child, address, alerts: address, _folder: None };
    for _ in 0..5000 {
        if TcpStream::connect(address).is_ok() {
            return process;
        }
        thread::sleep(Duration::from_millis(2));
    }
    panic!("it never listened");
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
