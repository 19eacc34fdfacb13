//! A token on its way to the broker before its client (RFC 9431 §2.2.2).

use super::{
    ConnectError, ConnectOptions, Outgoing, channel,
    driver::Driver,
    open::{shake_hands, within_limit},
};
use crate::core::{
    event::Event,
    opening::{Authentication, Opening},
    publishing::AUTHZ_INFO,
    session::Session,
};
use crate::token::Token;
use symbolon_mqtt_proto::{PublishProperties, Qos, ReasonCode};

/// Publishes the token as a stranger, on a connection of its own, at QoS 1: the answer says whether it is taken.
pub(super) async fn publish(
    options: &ConnectOptions<'static>,
    token: &Token,
) -> Result<(), ConnectError> {
    within_limit(options, async {
        let channel = channel::anonymous(options, token.broker.as_ref()).await?;
        let session = Session::new(options.version);
        let opening = Opening::new(options, Authentication::None, None, session)?;
        let (channel, machine) = shake_hands(channel, opening).await?;
        let mut driver = Driver::new(channel, *machine, None);
        let message = Outgoing {
            topic: AUTHZ_INFO,
            payload: token.as_bytes(),
            qos: Qos::AtLeastOnce,
            retain: false,
            properties: PublishProperties::default(),
        };
        let sent = driver.publish(&message).await?;
        let answer = answer(&mut driver, sent).await;
        driver.leave(ReasonCode::Success, None).await?;
        answer
    })
    .await
}

async fn answer(driver: &mut Driver, sent: u64) -> Result<(), ConnectError> {
    loop {
        if let Event::Published {
            identifier,
            reason_code,
            reason_string,
        } = driver.next().await?
            && identifier == sent
        {
            if !reason_code.is_failure() {
                return Ok(());
            }
            return Err(ConnectError::NotTaken {
                reason_code,
                reason_string,
            });
        }
    }
}
