//! Names that may become a topic level: of clients, groups and resource owners.

/// A client identifier that is safe as, or inside, a topic level. Names of groups and owners obey the same rules.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ClientId<'a>(&'a str);

/// Why a client identifier is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum ClientIdError {
    #[error("it is empty")]
    Empty,
    #[error("it is longer than 256 bytes")]
    TooLong,
    #[error("it has a character other than printable ASCII, or a space")]
    NotPrintable,
    #[error("it has one of '/', '+' and '#', which mean something in topics")]
    TopicSyntax,
    #[error("it begins with '$', as the broker's own topics do")]
    Dollar,
}

impl<'a> ClientId<'a> {
    const MAX_BYTES: usize = 256;

    pub(crate) fn parse(text: &'a str) -> Result<Self, ClientIdError> {
        match text {
            "" => Err(ClientIdError::Empty),
            _ if text.len() > Self::MAX_BYTES => Err(ClientIdError::TooLong),
            _ if !text.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Err(ClientIdError::NotPrintable)
            }
            _ if text.contains(['/', '+', '#']) => Err(ClientIdError::TopicSyntax),
            _ if text.starts_with('$') => Err(ClientIdError::Dollar),
            _ => Ok(Self(text)),
        }
    }

    pub(crate) fn as_str(self) -> &'a str {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_identifier_that_could_change_a_topic_is_refused() {
        for (text, error) in [
            ("", ClientIdError::Empty),
            ("a/b", ClientIdError::TopicSyntax),
            ("+", ClientIdError::TopicSyntax),
            ("a#", ClientIdError::TopicSyntax),
            ("$SYS", ClientIdError::Dollar),
            ("a b", ClientIdError::NotPrintable),
            ("a\0", ClientIdError::NotPrintable),
            ("ä", ClientIdError::NotPrintable),
        ] {
            assert_eq!(ClientId::parse(text), Err(error), "{text:?}");
        }
        assert_eq!(
            ClientId::parse(&"a".repeat(257)),
            Err(ClientIdError::TooLong)
        );
        assert!(ClientId::parse(&"a".repeat(256)).is_ok());
        assert!(ClientId::parse("urn:dev:mac:0024befffe804ff1").is_ok());
    }
}
