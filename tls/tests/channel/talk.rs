//! Bytes both ways.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(crate) async fn say_both_ways(
    a: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin),
    b: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin),
) {
    let mut heard = [0; 5];
    a.write_all(b"there").await.unwrap();
    a.flush().await.unwrap();
    b.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"there");
    b.write_all(b"back!").await.unwrap();
    b.flush().await.unwrap();
    a.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"back!");
}
