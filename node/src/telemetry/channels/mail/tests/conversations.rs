//! Conversations with a mail server that answers what a test says.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Mutex;

use ssid_protocol::id::UnixMillis;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::super::*;
use crate::telemetry::message::{Severity, Topic};

/// What a server answers to a line, which it is the n-th recipient of this mail for; `None`: as
/// usual.
type Answers = fn(&str, usize) -> Option<&'static [u8]>;

/// The recipients of each mail that the server took.
type Mails = Arc<Mutex<Vec<Vec<String>>>>;

async fn server(answers: Answers) -> (u16, Mails) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mails = Mails::default();
    let taken = mails.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(talk(stream, answers, taken.clone()));
        }
    });
    (port, mails)
}

async fn talk(stream: TcpStream, answers: Answers, mails: Mails) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).split(b'\n');
    writer
        .write_all(answers("CONNECT", 0).unwrap_or(b"220 here\r\n"))
        .await?;
    let (mut recipients, mut asked, mut in_mail) = (Vec::new(), 0, false);
    while let Some(line) = lines.next_segment().await? {
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        if in_mail && line != "." {
            continue;
        }
        let usual: &[u8] = match line.as_str() {
            "DATA" => b"354 go on\r\n",
            _ => b"250 well\r\n",
        };
        asked += usize::from(line.starts_with("RCPT"));
        let answer = answers(&line, asked).unwrap_or(usual);
        let is_taken = answer.starts_with(b"2");
        match line.split([' ', ':']).next().unwrap_or_default() {
            "MAIL" => (recipients, asked) = (Vec::new(), 0),
            "RCPT" if is_taken => recipients.push(line.replace("RCPT TO:<", "").replace('>', "")),
            "DATA" => in_mail = true,
            "." => {
                in_mail = false;
                mails.lock().unwrap().push(recipients.clone());
            }
            _ => {}
        }
        writer.write_all(answer).await?;
    }
    Ok(())
}

fn mail(port: u16) -> Mail {
    let settings = EmailSettings {
        smtp_server: "127.0.0.1".into(),
        smtp_port: port,
        use_tls: false,
        from_address: "node@example.org".into(),
        to_addresses: ["ops", "gone", "boss"]
            .map(|name| format!("{name}@example.org"))
            .to_vec(),
        ..EmailSettings::default()
    };
    Mail::new(&settings, &Secrets::default(), &paths()).unwrap()
}

fn paths() -> RegistryPaths {
    RegistryPaths::in_data_directory("/".as_ref())
}

fn message() -> Message {
    Message::new(Topic::Test, Severity::Info, "cause", "title", UnixMillis(0))
}

fn addresses(names: &[&str]) -> Vec<String> {
    names
        .iter()
        .map(|name| format!("{name}@example.org"))
        .collect()
}

#[tokio::test]
async fn one_refused_recipient_is_named_and_the_others_get_the_mail() {
    let (port, mails) = server(|line, _| {
        line.contains("gone@")
            .then_some(b"550 5.1.1 no such user\r\n")
    })
    .await;
    let Attempt::Partly {
        later,
        refused,
        why,
    } = mail(port).send(&message(), &[]).await
    else {
        panic!("not partly")
    };
    assert_eq!((later, refused), (vec![], addresses(&["gone"])));
    assert!(
        why.contains("gone@example.org: ") && why.contains("550"),
        "{why}"
    );
    assert_eq!(*mails.lock().unwrap(), [addresses(&["ops", "boss"])]);
}

#[tokio::test]
async fn who_is_put_off_is_tried_again_alone() {
    let (port, mails) = server(|line, _| {
        line.contains("gone@")
            .then_some(b"450 4.2.0 greylisted\r\n")
    })
    .await;
    let attempt = mail(port).send(&message(), &[]).await;
    let Attempt::Partly { later, refused, .. } = attempt else {
        panic!("{attempt:?}")
    };
    assert_eq!((&later, refused), (&addresses(&["gone"]), vec![]));
    assert_eq!(*mails.lock().unwrap(), [addresses(&["ops", "boss"])]);
    let (port, mails) = server(|_, _| None).await;
    assert_eq!(
        mail(port).send(&message(), &later).await,
        Attempt::Delivered
    );
    assert_eq!(*mails.lock().unwrap(), [later]);
}

#[tokio::test]
async fn a_server_that_takes_few_at_once_gets_several_mails() {
    let (port, mails) = server(|line, n| {
        (line.starts_with("RCPT") && n > 2).then_some(b"452 4.5.3 too many recipients\r\n")
    })
    .await;
    assert_eq!(mail(port).send(&message(), &[]).await, Attempt::Delivered);
    assert_eq!(
        *mails.lock().unwrap(),
        [addresses(&["ops", "gone"]), addresses(&["boss"])]
    );
    // one that is full takes nobody: later
    let (port, _) =
        server(|line, _| line.starts_with("RCPT").then_some(b"452 4.2.2 full\r\n")).await;
    assert!(matches!(
        mail(port).send(&message(), &[]).await,
        Attempt::Later { .. }
    ));
}

#[tokio::test]
async fn whom_nobody_takes_gets_no_mail() {
    let (port, mails) = server(|line, _| line.starts_with("RCPT").then_some(b"550 no\r\n")).await;
    let attempt = mail(port).send(&message(), &[]).await;
    assert!(
        matches!(&attempt, Attempt::Refused(why) if why.contains("boss@example.org")),
        "{attempt:?}"
    );
    let (port, _) =
        server(|line, _| line.starts_with("MAIL").then_some(b"553 not from you\r\n")).await;
    assert!(matches!(
        mail(port).send(&message(), &[]).await,
        Attempt::Refused(_)
    ));
    assert!(mails.lock().unwrap().is_empty());
}

#[tokio::test]
async fn replies_are_read_in_any_encoding() {
    let latin: Answers = |line, _| match line {
        "CONNECT" => Some(b"220-gr\xfc\xdfe\r\n220 b\xe9\r\n"),
        "." => Some(b"250 \xfcbernommen\r\n"),
        "DATA" => Some(b"354 \xe9\r\n"),
        "QUIT" => Some(b"221 tsch\xfcss\r\n"),
        line if line.starts_with("RCPT") => Some(b"250 \xff\xfe\r\n"),
        _ => None,
    };
    let (port, mails) = server(latin).await;
    assert_eq!(mail(port).send(&message(), &[]).await, Attempt::Delivered);
    assert_eq!(mails.lock().unwrap().len(), 1);
    let refusing: Answers =
        |line, _| (line == ".").then_some(b"550 5.7.1 abgelehnt f\xfcr immer\r\n");
    let (port, _) = server(refusing).await;
    assert!(matches!(
        mail(port).send(&message(), &[]).await,
        Attempt::Refused(_)
    ));
}

#[tokio::test]
async fn a_server_that_says_no_goodbye_has_the_mail_all_the_same() {
    let (port, mails) = server(|line, _| (line == "QUIT").then_some(b"")).await;
    assert_eq!(mail(port).send(&message(), &[]).await, Attempt::Delivered);
    assert_eq!(mails.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn nothing_is_sent_where_starttls_is_wanted_and_not_offered() {
    let (port, mails) = server(|_, _| None).await;
    let mut settings = EmailSettings {
        smtp_server: "localhost".into(),
        smtp_port: port,
        ..EmailSettings::default()
    };
    settings.from_address = "node@example.org".into();
    settings.to_addresses = addresses(&["ops"]);
    let mail = Mail::new(&settings, &Secrets::default(), &paths()).unwrap();
    let attempt = mail.send(&message(), &[]).await;
    assert!(
        matches!(&attempt, Attempt::Later { why, .. } if why.contains("does not offer STARTTLS")),
        "{attempt:?}"
    );
    assert!(mails.lock().unwrap().is_empty());
}
