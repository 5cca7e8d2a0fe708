//! The certificate, over a drawer that has one.

use super::*;
use crate::certificates::*;

/// A certificate of which `wrong` cannot be used.
#[derive(Default)]
pub(super) struct Drawer(Mutex<CertificatesView>);

fn now<'a, T: Send + 'a>(done: Result<T, NotDone>) -> Later<'a, Result<T, NotDone>> {
    Box::pin(std::future::ready(done))
}

impl Certificates for Drawer {
    fn look(&self) -> Later<'_, Result<CertificatesView, NotDone>> {
        now(Ok(self.0.lock().unwrap().clone()))
    }

    fn put(&self, certificate: String, key: String) -> Later<'_, Result<(), NotDone>> {
        if key == "wrong" {
            return now(Err(NotDone::Refused("key: wrong".to_owned())));
        }
        let subject = certificate;
        self.0.lock().unwrap().certificate = Some(CertificateView {
            subject,
            ..CertificateView::default()
        });
        now(Ok(()))
    }

    fn make(&self, names: Vec<String>, new_authority: bool) -> Later<'_, Result<(), NotDone>> {
        let mut view = self.0.lock().unwrap();
        view.is_own = true;
        view.authority = new_authority.then(CertificateView::default);
        view.certificate = Some(CertificateView {
            names,
            ..CertificateView::default()
        });
        now(Ok(()))
    }

    fn authority(&self) -> Later<'_, Result<Vec<u8>, NotDone>> {
        let found = self.0.lock().unwrap().authority.clone();
        now(found.map(|_| b"PEM".to_vec()).ok_or(NotDone::Missing))
    }
}

#[tokio::test]
async fn an_admin_replaces_and_makes_the_certificate_and_everybody_gets_the_authority() {
    let bench = bench(PEOPLE, false);
    let (ada, vera) = (bench.login("ada").await, bench.login("vera").await);
    let path = "/api/v1/certificates";
    assert_eq!(bench.ask("GET", path, &vera, None).await.status, 403);
    let ca = "/api/v1/certificates/ca.pem";
    assert_eq!(bench.ask("GET", ca, &vera, None).await.status, 404);
    let wrong = json!({"certificate": "a", "key": "wrong"});
    let refused = bench.ask("PUT", path, &ada, Some(wrong)).await;
    assert_eq!(
        (refused.status, refused.json()["detail"].as_str()),
        (422, Some("key: wrong"))
    );
    let good = json!({"certificate": "a", "key": "b"});
    let put = bench.ask("PUT", path, &ada, Some(good)).await.json();
    assert_eq!(put["certificate"]["subject"], "a");
    let none = json!({"names": []});
    let make = "/api/v1/certificates/make";
    assert_eq!(bench.ask("POST", make, &ada, Some(none)).await.status, 400);
    let wanted = json!({"names": ["plant7.local"], "new_authority": true});
    let made = bench.ask("POST", make, &ada, Some(wanted)).await.json();
    assert_eq!(made["certificate"]["names"][0], "plant7.local");
    assert_eq!(made["is_own"], true);
    let authority = bench.ask("GET", ca, &vera, None).await;
    assert_eq!((authority.status, authority.text.as_str()), (200, "PEM"));
    assert_eq!(authority.headers["content-type"], "application/x-pem-file");
}
