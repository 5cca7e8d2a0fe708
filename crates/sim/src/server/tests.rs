use std::net::SocketAddr;

use tokio_modbus::{client::Context, prelude::*};

use super::*;
use crate::{Exception, Table, Times, Unit};

/// A running server; it stops when this goes out of scope.
struct Running {
    address: SocketAddr,
    image: Image,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

async fn running() -> Running {
    let image = Image::new();
    for (id, base) in [(1, 0x0100), (247, 0x2F00)] {
        let mut unit = Unit::new();
        unit.set_words(Table::Holding, 0, &[base, base + 1, base + 2]);
        unit.move_words(Table::Input, 7, 1, |now| vec![now.as_secs() as u16]);
        unit.set_bits(Table::Coil, 0, &[false, true]);
        unit.set_bits(Table::Discrete, 3, &[true]);
        image.insert(id, unit);
    }
    let server = ModbusServer::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let cancel = CancellationToken::new();
    let task = tokio::spawn(server.run(image.clone(), cancel.clone()));
    Running {
        address,
        image,
        cancel,
        task,
    }
}

impl Running {
    async fn client(&self, unit: u8) -> Context {
        client::tcp::connect_slave(self.address, Slave(unit))
            .await
            .unwrap()
    }

    /// Sends bytes as they are and collects what comes back until the server hangs up.
    async fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut back = Vec::new();
        // A server that hangs up with our bytes unread resets the connection: no bytes either.
        let _ = stream.read_to_end(&mut back).await;
        back
    }
}

const READ_HOLDING_0: [u8; 12] = [0xAA, 0x01, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1];

#[tokio::test]
async fn a_foreign_client_reads_and_writes_all_four_tables_of_several_units() {
    let server = running().await;
    for (unit, base) in [(1, 0x0100), (247, 0x2F00)] {
        let mut client = server.client(unit).await;
        let words = client.read_holding_registers(0, 3).await.unwrap();
        assert_eq!(words, Ok(vec![base, base + 1, base + 2]));
        let words = client.read_input_registers(7, 1).await.unwrap();
        assert_eq!(words, Ok(vec![0]));
        let bits = client.read_coils(0, 2).await.unwrap();
        assert_eq!(bits, Ok(vec![false, true]));
        let bits = client.read_discrete_inputs(3, 1).await.unwrap();
        assert_eq!(bits, Ok(vec![true]));

        let written = client.write_single_coil(0, true).await.unwrap();
        assert_eq!(written, Ok(()));
        let written = client.write_multiple_registers(1, &[7, unit.into()]).await;
        assert_eq!(written.unwrap(), Ok(()));
        let bits = client.read_coils(0, 2).await.unwrap();
        assert_eq!(bits, Ok(vec![true, true]));
        let words = client.read_holding_registers(0, 3).await.unwrap();
        assert_eq!(words, Ok(vec![base, 7, unit.into()]));

        let hole = client.read_holding_registers(3, 1).await.unwrap();
        assert_eq!(hole, Err(ExceptionCode::IllegalDataAddress));
    }
    let absent = server.client(9).await.read_coils(0, 1).await.unwrap();
    assert_eq!(absent, Err(ExceptionCode::GatewayTargetDevice));
}

#[tokio::test(start_paused = true)]
async fn values_move_with_the_time_since_the_start() {
    let server = running().await;
    let mut client = server.client(1).await;
    for want in [0, 5, 10] {
        let words = client.read_input_registers(7, 1).await.unwrap();
        assert_eq!(words, Ok(vec![want]));
        time::advance(Duration::from_secs(5)).await;
    }
}

#[tokio::test]
async fn each_fault_spoils_the_answer_in_its_own_way_and_then_the_unit_is_well_again() {
    let server = running().await;
    let whole = [0xAA, 0x01, 0, 0, 0, 5, 1, 3, 2, 1, 0];
    let spoilt = [0xAA, 0x02, 0, 0, 0, 5, 1, 3, 2, 1, 0];
    let busy = [0xAA, 0x01, 0, 0, 0, 3, 1, 0x83, 6];
    for (fault, want) in [
        (Fault::Delay(Duration::from_millis(5)), &whole[..]),
        (Fault::Silence, &[]),
        (Fault::Exception(Exception::DeviceBusy), &busy),
        (Fault::Close, &[]),
        (Fault::WrongTransaction, &spoilt),
        (Fault::Truncate(9), &whole[..9]),
        (Fault::Truncate(500), &whole),
    ] {
        server.image.inject(1, fault, Times::Next(1));
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(&READ_HOLDING_0).await.unwrap();
        // Half a frame follows a shutdown: the server hangs up after the answer, if not before.
        stream.shutdown().await.unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).await.unwrap();
        assert_eq!(back, want, "{fault:?}");

        let mut client = server.client(1).await;
        let words = client.read_holding_registers(0, 1).await.unwrap();
        assert_eq!(words, Ok(vec![0x0100]), "after {fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_delay_lasts_as_long_as_ordered_and_other_units_do_not_wait() {
    let server = running().await;
    let delay = Duration::from_secs(2);
    server.image.inject(1, Fault::Delay(delay), Times::Always);
    let mut other = server.client(247).await;
    let mut slow = server.client(1).await;
    for (client, want) in [(&mut other, Duration::ZERO), (&mut slow, delay)] {
        let asked = Instant::now();
        client.read_coils(0, 1).await.unwrap().unwrap();
        assert_eq!(asked.elapsed().as_secs(), want.as_secs());
    }
    server.image.heal(1);
    let asked = Instant::now();
    slow.read_coils(0, 1).await.unwrap().unwrap();
    assert_eq!(asked.elapsed().as_secs(), 0);
}

#[tokio::test]
async fn bytes_that_are_no_frame_are_hung_up_on_and_the_next_client_is_served() {
    let server = running().await;
    for bytes in [
        &[0, 1, 0, 0, 0, 0, 1][..],                  // Length 0.
        &[0, 1, 0, 0, 0, 1, 1],                      // No function.
        &[0, 1, 0, 0, 0, 255, 1],                    // Longer than any request.
        &[0, 1, 0, 0, 0xFF, 0xFF, 1, 3, 0, 0, 0, 1], // Much longer.
        &[0, 1, 0, 7, 0, 6, 1, 3, 0, 0, 0, 1],       // Another protocol.
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        assert_eq!(server.raw(bytes).await, [], "{bytes:02x?}");
        let mut client = server.client(1).await;
        let words = client.read_holding_registers(0, 1).await.unwrap();
        assert_eq!(words, Ok(vec![0x0100]), "after {bytes:02x?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_within_a_frame_is_hung_up_on_in_time() {
    let server = running().await;
    let before = Instant::now();
    let (half, _) = READ_HOLDING_0.split_at(9);
    assert_eq!(server.raw(half).await, []);
    assert_eq!(before.elapsed().as_secs(), STALL_MAX.as_secs());
}

#[tokio::test]
async fn one_client_too_many_is_hung_up_on_and_a_place_that_is_left_is_given_again() {
    let server = running().await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS_MAX {
        let mut client = server.client(1).await;
        client.read_coils(0, 1).await.unwrap().unwrap();
        clients.push(client);
    }
    assert_eq!(server.raw(&READ_HOLDING_0).await, []);
    drop(clients.pop());
    // The place is free once the server has seen the other one leave: each try is an event.
    loop {
        let mut client = server.client(1).await;
        if client.read_coils(0, 1).await.is_ok() {
            break;
        }
    }
}

#[tokio::test]
async fn cancelling_closes_every_connection_and_frees_the_port() {
    let server = running().await;
    let mut client = server.client(1).await;
    client.read_coils(0, 1).await.unwrap().unwrap();
    server.cancel.cancel();
    server.task.await.unwrap();
    assert!(client.read_coils(0, 1).await.is_err());
    assert!(TcpStream::connect(server.address).await.is_err());
}
