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
        headers: vec![("content-type".into(), "text/plain".into()), ("x-test".into(), "1".into())],
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
async fn only_where_nothing_can_have_left_there_is_no_doubt() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap();
    let transport = HttpTransport::new().unwrap();
    // The second goes through the large client.
    let addresses = [format!("http://{place}/"), format!("http://us:er@{place}/")];
    let post = |url: &str| HttpRequest { url: url.to_owned(), ..post("/", &listener) };
    for address in &addresses {
        let breaking = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            request(&mut stream).await.unwrap();
        };
        let (broken, ()) = tokio::join!(transport.post(post(address), PATIENCE), breaking);
        let broken = broken.unwrap_err();
        assert!(broken.is_doubtful, "{address}: {broken}");
        let silent = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            while request(&mut stream).await.is_some() {}
        };
        let (late, ()) = tokio::join!(transport.post(post(address), Duration::from_millis(50)), silent);
        let late = late.unwrap_err();
        assert!(late.is_doubtful && late.reason.starts_with("timed out"), "{address}: {late}");
    }
    let tls = format!("https://{place}/");
    let no_tls = async { drop(listener.accept().await.unwrap()) };
    let (unsent, ()) = tokio::join!(transport.post(post(&tls), PATIENCE), no_tls);
    assert!(!unsent.as_ref().unwrap_err().is_doubtful, "{unsent:?}");
    let requests: Vec<HttpRequest> = addresses.iter().chain([&tls]).map(|address| post(address)).collect();
    drop(listener);
    for nobody in requests {
        let unsent = transport.post(nobody, PATIENCE).await.unwrap_err();
        assert!(!unsent.is_doubtful && unsent.reason.starts_with("cannot connect"), "{unsent}");
    }
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

/// What is made of an answer that comes in pieces of so many bytes, and whether the connection is used again.
async fn told(answer: &str, piece_bytes: usize) -> (Result<Received, NoAnswer>, bool) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let transport = HttpTransport::new().unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        request(&mut stream).await.unwrap();
        for piece in answer.as_bytes().chunks(piece_bytes) {
            // Who has heard enough hangs up.
            let _ = stream.write_all(piece).await;
            tokio::task::yield_now().await;
        }
        let _ = stream.shutdown().await;
        stream
    };
    let (received, _stream) = tokio::join!(transport.post(post("/", &listener), PATIENCE), serve);
    let is_kept = transport.plain.holds_any();
    (received, is_kept)
}

#[tokio::test]
async fn an_answer_is_the_same_in_whatever_form_and_pieces_it_comes() {
    for answer in [
        "HTTP/1.1 429 Slow\r\nRetry-After:  7 \r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 429 \r\nretry-after: 7\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nt: u\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 429\r\nretry-after: 7\r\ncontent-length: 5\r\n\r\nhello",
        "HTTP/1.0 429 Slow\nretry-after: 7\n\nhello",
        "HTTP/1.1 429 Slow\r\nretry-after: 7\r\nconnection: Close\r\ncontent-length: 5\r\n\r\nhello",
    ] {
        for piece_bytes in [1, 7, 1000] {
            let (received, is_kept) = told(answer, piece_bytes).await;
            let received = received.unwrap();
            assert_eq!((received.status, received.body.as_slice()), (429, b"hello".as_slice()), "{answer}");
            assert_eq!(received.retry_after.as_deref(), Some("7"), "{answer}");
            let may_be_kept = answer.starts_with("HTTP/1.1") && !answer.contains("Close");
            assert_eq!(is_kept, may_be_kept, "{answer}");
        }
    }
    let (received, is_kept) = told("HTTP/1.1 204 Nothing\r\ncontent-length: 7\r\n\r\n", 1000).await;
    assert_eq!((received.unwrap().body.len(), is_kept), (0, true));
}

#[tokio::test]
async fn what_is_no_answer_of_http_is_told_as_such_and_costs_the_connection() {
    for (answer, reason) in [
        ("SSH-2.0-x\r\n\r\n", "does not begin as HTTP/1"),
        ("HTTP/1.1 99 Odd\r\n\r\n", "does not begin as HTTP/1"),
        ("HTTP/1.1 101 Switching\r\n\r\n", "changes the protocol"),
        ("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", "is no number"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", "is no number"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel", "ended early"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n", "is no number"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabc\r\n", "longer than it says"),
        ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "has no name"),
    ] {
        let (received, is_kept) = told(answer, 1000).await;
        let told = received.unwrap_err().reason;
        assert!(told.starts_with("the connection broke") && told.contains(reason), "{answer}: {told}");
        assert!(!is_kept, "{answer}");
    }
    let endless = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(10_000));
    assert!(told(&endless, 100_000).await.0.unwrap_err().reason.contains("too long"));
}

#[tokio::test]
async fn bytes_behind_an_answer_are_taken_for_no_other_one() {
    let (received, is_kept) =
        told("HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 500 Late\r\n\r\n", 1000).await;
    assert_eq!((received.unwrap().status, is_kept), (202, false));
}

#[tokio::test]
async fn who_answers_before_the_end_of_a_request_is_heard() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let transport = HttpTransport::new().unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_exact(&mut [0; 64]).await.unwrap();
        stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        stream
    };
    let large = HttpRequest { body: vec![b'x'; 64 << 20], ..post("/", &listener) };
    let (received, _stream) = tokio::join!(transport.post(large, PATIENCE), serve);
    assert_eq!((received.unwrap().status, transport.plain.holds_any()), (413, false));
}

#[tokio::test]
async fn a_header_that_would_end_its_line_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let transport = HttpTransport::new().unwrap();
    for (name, value) in [("x-a", "1\r\nx-b: 2"), ("x a", "1"), ("", "1"), ("x-a", "\u{0}")] {
        let headers = vec![(name.to_owned().into(), value.into())];
        let request = HttpRequest { headers, ..post("/", &listener) };
        let reason = transport.post(request, PATIENCE).await.unwrap_err().reason;
        assert!(reason.starts_with("a header cannot be sent"), "{reason}");
    }
}
