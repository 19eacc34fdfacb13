//! A live channel moves from one thread's runtime to another's.

use crate::pki::{Pki, accept_one, connected, tcp_pair};
use symbolon_tls::{Channel, DetachedChannel};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::Builder,
};

fn on_another_thread<F, T>(work: F) -> T
where
    F: AsyncFnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    std::thread::spawn(|| {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work())
    })
    .join()
    .unwrap()
}

/// Attaches, reads up to "the end", answers, and hands the channel back.
fn read_and_answer(detached: DetachedChannel) -> (String, DetachedChannel) {
    on_another_thread(async move || {
        let mut channel = detached.attach().unwrap();
        let mut heard = Vec::new();
        while !heard.ends_with(b"the end") {
            assert_ne!(channel.read_buf(&mut heard).await.unwrap(), 0);
        }
        channel.write_all(b"understood").await.unwrap();
        channel.flush().await.unwrap();
        let heard = String::from_utf8(heard).unwrap();
        (heard, channel.detach().unwrap())
    })
}

pub(crate) async fn move_with_unread_bytes(mut client: Channel, mut server: Channel) {
    client
        .write_all(b"begun here, more in the same record, ")
        .await
        .unwrap();
    client.flush().await.unwrap();
    let mut begun = [0; 10];
    // Leaves the rest of the record decrypted inside the channel.
    server.read_exact(&mut begun).await.unwrap();
    assert_eq!(&begun, b"begun here");
    // And this one undecrypted inside the socket.
    client.write_all(b"the end").await.unwrap();
    client.flush().await.unwrap();

    let exporter = server.exporter();
    let detached = server.detach().unwrap();
    let (heard, detached) = tokio::task::spawn_blocking(|| read_and_answer(detached))
        .await
        .unwrap();
    assert_eq!(heard, ", more in the same record, the end");
    let mut answer = [0; 10];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"understood");

    let mut server = detached.attach().unwrap();
    assert_eq!(server.exporter(), exporter);
    assert!(server.peer_addr().unwrap().ip().is_loopback());
    client.write_all(b"home").await.unwrap();
    client.shutdown().await.unwrap();
    let mut heard = String::new();
    server.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "home");
}

#[tokio::test]
async fn a_tls_channel_moves_with_what_was_not_read_yet() {
    let pki = Pki::generate();
    let (client, server) = connected(&pki).await;
    move_with_unread_bytes(client, server).await;
}

#[tokio::test]
async fn a_bare_channel_moves_too() {
    let (client, server) = tcp_pair().await;
    move_with_unread_bytes(Channel::plain(client), Channel::plain(server)).await;
}

#[tokio::test]
async fn a_channel_outlives_the_runtime_it_was_accepted_on() {
    let pki = Pki::generate();
    let acceptor = pki.acceptor();
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let accepting = std::thread::spawn(|| {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let (address, accepting) = accept_one(acceptor).await;
            sender.send(address).unwrap();
            accepting.await.unwrap().unwrap().detach().unwrap()
        })
    });
    let address = receiver.await.unwrap();
    let mut client = pki.connector().connect(address, "localhost").await.unwrap();
    let detached = tokio::task::spawn_blocking(|| accepting.join().unwrap())
        .await
        .unwrap();
    let mut server = detached.attach().unwrap();
    client.write_all(b"still there").await.unwrap();
    client.shutdown().await.unwrap();
    let mut heard = String::new();
    server.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "still there");
}

#[tokio::test]
async fn attaching_without_a_runtime_is_an_error() {
    let (client, _server) = tcp_pair().await;
    let detached = Channel::plain(client).detach().unwrap();
    let failed = std::thread::spawn(|| detached.attach().is_err());
    assert!(failed.join().unwrap());
}
