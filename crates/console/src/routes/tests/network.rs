//! The network, over one interface that is set and confirmed.

use super::*;
use crate::network::*;

/// An interface, and a change of it.
#[derive(Default)]
pub(super) struct Plug(Mutex<NetworkView>);

impl Network for Plug {
    fn look(&self) -> Later<'_, NetworkView> {
        Box::pin(std::future::ready(self.0.lock().unwrap().clone()))
    }

    fn change(&self, wanted: Addressing) -> Later<'_, Result<(), NotDone>> {
        let done = match wanted.interface.as_str() {
            "eth0" => {
                self.0.lock().unwrap().change = Some(ChangeView {
                    id: "one".to_owned(),
                    wanted,
                    state: "trying",
                    seconds: 90,
                    problem: None,
                });
                Ok(())
            }
            _ => Err(NotDone::Refused("interface: wrong".to_owned())),
        };
        Box::pin(std::future::ready(done))
    }

    fn confirm(&self, id: String, at: Option<IpAddr>) -> Later<'_, Result<(), NotDone>> {
        let done = match (id.as_str(), at) {
            ("one", Some(_)) => Ok(()),
            ("one", other) => Err(NotDone::Refused(format!("{other:?}"))),
            _ => Err(NotDone::Missing),
        };
        Box::pin(std::future::ready(done))
    }
}

#[tokio::test]
async fn an_admin_changes_an_address_and_confirms_it_where_it_is() {
    let bench = bench(PEOPLE, false);
    let (ada, vera) = (bench.login("ada").await, bench.login("vera").await);
    let path = "/api/v1/system/network";
    assert_eq!(bench.ask("GET", path, &vera, None).await.status, 403);
    let answer = bench.ask("GET", path, &ada, None).await;
    assert_eq!(
        (answer.status, &answer.json()["managed"]),
        (200, &json!(false))
    );
    for (body, want) in [
        (json!({"interface": "eth9", "dhcp": true}), 422),
        (json!({"interface": "eth0", "dhcp": true, "ssid": "x"}), 400),
        (json!({"interface": "eth0", "address": "10.0.0.5/24"}), 200),
    ] {
        let answer = bench.ask("PUT", path, &ada, Some(body.clone())).await;
        assert_eq!(answer.status, want, "{body}: {}", answer.text);
    }
    let told = bench.ask("GET", path, &ada, None).await.json();
    assert_eq!(told["change"]["wanted"]["address"], "10.0.0.5/24");
    let path = "/api/v1/system/network/confirm";
    for (id, want) in [("two", 404), ("one", 200)] {
        let answer = bench
            .ask("POST", path, &ada, Some(json!({ "id": id })))
            .await;
        assert_eq!(answer.status, want, "{id}: {}", answer.text);
    }
}
