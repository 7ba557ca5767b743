//! Requests against a server that answers as each test says, over real sockets on loopback.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const ANSWER: &str = "HTTP/1.1 202 Accepted\r\nretry-after: 7\r\ncontent-length: 2\r\n\r\nok";

/// The head of one request with its body, of which all tests send four bytes.
async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    loop {
        let mut piece = [0; 1024];
        let count = stream.read(&mut piece).await.ok().filter(|count| *count > 0)?;
        text.push_str(std::str::from_utf8(&piece[..count]).unwrap());
        if text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.len() >= 4) {
            return Some(text);
        }
    }
}

fn post(path: &str, listener: &TcpListener) -> HttpRequest {
    HttpRequest {
        url: format!("http://{}{path}", listener.local_addr().unwrap()),
        headers: vec![("content-type".into(), "text/plain".to_owned()), ("x-test".into(), "1".to_owned())],
        body: b"body".to_vec(),
    }
}

const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn requests_of_one_address_share_a_connection_and_say_what_they_were_given() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let transport = HttpTransport::new().unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(request(&mut stream).await.unwrap());
            stream.write_all(ANSWER.as_bytes()).await.unwrap();
        }
        seen
    };
    let ask = async {
        for _ in 0..3 {
            let received = transport.post(post("/v2/enqueue?a=b", &listener), PATIENCE).await.unwrap();
            assert_eq!((received.status, received.body.as_slice()), (202, b"ok".as_slice()));
            assert_eq!(received.retry_after.as_deref(), Some("7"));
        }
    };
    let (seen, ()) = tokio::join!(serve, ask);
    let lines: Vec<String> = seen[2].to_ascii_lowercase().lines().map(str::to_owned).collect();
    assert_eq!(lines[0], "post /v2/enqueue?a=b http/1.1");
    for wanted in ["content-type: text/plain", "x-test: 1", "content-length: 4", "body"] {
        assert!(lines.iter().any(|line| line == wanted), "{wanted}: {lines:?}");
    }
    assert!(lines.contains(&format!("host: {}", listener.local_addr().unwrap())), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("user-agent: tawny/")), "{lines:?}");
}

#[tokio::test]
async fn a_connection_that_the_other_side_closed_meanwhile_costs_no_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let transport = HttpTransport::new().unwrap();
    for _ in 0..20 {
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            request(&mut stream).await.unwrap();
            stream.write_all(ANSWER.as_bytes()).await.unwrap();
        };
        let (received, ()) = tokio::join!(transport.post(post("/", &listener), PATIENCE), serve);
        assert_eq!(received.unwrap().status, 202);
    }
}

#[tokio::test]
async fn no_answer_a_broken_one_and_nobody_there_are_told_apart_and_the_address_is_not_repeated() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let transport = HttpTransport::new().unwrap();
    let silent = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await.unwrap();
        assert!(request(&mut stream).await.is_none(), "whoever gave up has closed the connection");
    };
    let (received, ()) = tokio::join!(transport.post(post("/", &listener), Duration::from_millis(20)), silent);
    assert_eq!(received.unwrap_err().reason, "timed out");
    let breaking = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await.unwrap();
    };
    let (received, ()) = tokio::join!(transport.post(post("/", &listener), PATIENCE), breaking);
    let reason = received.unwrap_err().reason;
    assert!(reason.starts_with("the connection broke"), "{reason}");
    let nobody = post("/secret", &listener);
    drop(listener);
    let reason = transport.post(nobody, PATIENCE).await.unwrap_err().reason;
    assert!(reason.starts_with("cannot connect") && !reason.contains("secret"), "{reason}");
}

#[tokio::test]
async fn a_long_answer_is_read_to_its_bound_and_a_redirect_is_not_followed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let transport = HttpTransport::new().unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await.unwrap();
        let head = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 1000000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        // The reader may hang up before all of it is written.
        let _ = stream.write_all(&[b'x'; 1_000_000]).await;
    };
    let (received, ()) = tokio::join!(transport.post(post("/", &listener), PATIENCE), serve);
    let received = received.unwrap();
    assert_eq!((received.status, received.body.len()), (302, ANSWER_BYTES_MAX));
}
