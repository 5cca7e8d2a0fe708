//! A gateway that listens in every way, with certificates made as its documentation says.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use super::{Folder, free_port, gateway::Gateway, repository};

/// The gateway and its ports; the files of its certificates are in its folder.
pub struct Secure {
    pub gateway: Gateway,
    pub tls: u16,
    pub websocket: u16,
    pub websocket_tls: u16,
}

impl Secure {
    /// `client_certificates` is what the configuration says of them.
    pub fn start(client_certificates: &str) -> Self {
        let folder = Folder::new();
        make_certificates(folder.path());
        let [port, tls, websocket, websocket_tls] = [(); 4].map(|()| free_port());
        let socket = folder.path().join("mqtt.sock");
        let text = format!(
            "version: 1
gateway: {{name: plant7}}
broker:
  listen:
    tcp: \"127.0.0.1:{port}\"
    tls: \"127.0.0.1:{tls}\"
    websocket: {{address: \"127.0.0.1:{websocket}\", allow_anonymous: true}}
    websocket_tls: \"127.0.0.1:{websocket_tls}\"
    unix: {{path: {socket:?}}}
  tls:
    certificate: broker.pem
    key: broker.key
    client_ca: ca.pem
    client_certificates: {client_certificates}
"
        );
        Self {
            gateway: Gateway::start_text(port, &text, folder),
            tls,
            websocket,
            websocket_tls,
        }
    }

    /// The path of a file beside the configuration.
    pub fn file(&self, name: &str) -> String {
        let path = self.gateway.folder.path().join(name);
        path.to_str().expect("a plain path").to_owned()
    }

    /// The files of a client that shows a certificate.
    pub fn identity(&self) -> Value {
        json!({
            "ca": self.file("ca.pem"),
            "certificate": self.file("panel.pem"),
            "key": self.file("panel.key"),
        })
    }
}

/// Makes an authority and certificates for the broker and for a client named `panel`, with the
/// commands of the documentation.
pub fn make_certificates(folder: &Path) {
    let text = fs::read_to_string(repository().join("config/README.md"));
    let text = text.expect("the documentation");
    let mut made = 0;
    for block in text.split("```sh\n").skip(1) {
        let (block, _) = block.split_once("```").expect("the block ends");
        if !block.starts_with("openssl") {
            continue;
        }
        let script = block.replace("IP:192.168.1.10", "IP:127.0.0.1");
        let output = Command::new("sh")
            .args(["-e", "-c", &script])
            .current_dir(folder)
            .output()
            .expect("sh is there");
        assert!(output.status.success(), "{script}: {output:?}");
        made += 1;
    }
    assert_eq!(made, 2, "for the broker and for a client");
}
