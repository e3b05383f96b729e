import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;

/**
 * Apache Kafka's own client, for the tests: `java -cp … Interop.java BROKERS write COUNT CODEC=TOPIC…` writes numbered
 * lines, `BROKERS read TOPIC` prints timestamp, key and value of what read_committed shows of partition 0.
 */
class Interop {
  public static void main(String[] args) throws Exception {
    if (args[1].equals("write")) {
      for (int i = 3; i < args.length; i++) write(args[0], Integer.parseInt(args[2]), args[i].split("="));
    } else {
      read(args[0], new TopicPartition(args[2], 0));
    }
  }

  private static void write(String brokers, int count, String[] codecAndTopic) {
    String text = "org.apache.kafka.common.serialization.StringSerializer";
    Map<String, Object> settings = Map.of("bootstrap.servers", brokers, "key.serializer", text, "value.serializer", text,
        "compression.type", codecAndTopic[0], "linger.ms", 50);
    try (var producer = new KafkaProducer<String, String>(settings)) {
      for (int i = 0; i < count; i++)
        producer.send(new ProducerRecord<>(codecAndTopic[1], "line " + i + " of many that look alike"));
    }
  }

  private static void read(String brokers, TopicPartition partition) {
    String text = "org.apache.kafka.common.serialization.StringDeserializer";
    Map<String, Object> settings = Map.of("bootstrap.servers", brokers, "key.deserializer", text, "value.deserializer",
        text, "isolation.level", "read_committed");
    try (var consumer = new KafkaConsumer<String, String>(settings)) {
      consumer.assign(List.of(partition));
      consumer.seekToBeginning(List.of(partition));
      long end = consumer.endOffsets(List.of(partition)).get(partition);
      while (consumer.position(partition) < end)
        for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200)))
          System.out.println(record.timestamp() + "\t" + record.key() + "\t" + record.value());
    }
  }
}
