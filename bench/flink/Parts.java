package rask.bench;

import java.io.Serializable;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.apache.flink.api.connector.source.Boundedness;
import org.apache.flink.api.connector.source.ReaderOutput;
import org.apache.flink.api.connector.source.Source;
import org.apache.flink.api.connector.source.SourceReader;
import org.apache.flink.api.connector.source.SourceReaderContext;
import org.apache.flink.api.connector.source.SourceSplit;
import org.apache.flink.api.connector.source.SplitEnumerator;
import org.apache.flink.api.connector.source.SplitEnumeratorContext;
import org.apache.flink.core.io.InputStatus;
import org.apache.flink.core.io.SimpleVersionedSerializer;

/** A bounded source of numbered parts: as many as there are readers, each read by one of them. */
public final class Parts<T> implements Source<T, Parts.Part, Integer> {
    /** Makes the records of one part. */
    public interface Maker<T> extends Serializable {
        /** Before the first record. */
        void open(int number, int parts);

        /** Puts some records out; false: these were the last. */
        boolean make(ReaderOutput<T> out);
    }

    public record Part(int number, int parts) implements SourceSplit {
        @Override
        public String splitId() {
            return Integer.toString(number);
        }
    }

    private final Maker<T> maker;

    public Parts(Maker<T> maker) {
        this.maker = maker;
    }

    @Override
    public Boundedness getBoundedness() {
        return Boundedness.BOUNDED;
    }

    @Override
    public SourceReader<T, Part> createReader(SourceReaderContext context) throws Exception {
        return new Reader<>(org.apache.flink.util.InstantiationUtil.clone(maker, maker.getClass().getClassLoader()));
    }

    @Override
    public SplitEnumerator<Part, Integer> createEnumerator(SplitEnumeratorContext<Part> context) {
        return new Enumerator(context);
    }

    @Override
    public SplitEnumerator<Part, Integer> restoreEnumerator(SplitEnumeratorContext<Part> context, Integer state) {
        throw new UnsupportedOperationException("a benchmark is not restored");
    }

    @Override
    public SimpleVersionedSerializer<Part> getSplitSerializer() {
        return new Bytes<>() {
            @Override
            public byte[] serialize(Part part) {
                return ByteBuffer.allocate(8).putInt(part.number).putInt(part.parts).array();
            }

            @Override
            public Part deserialize(int version, byte[] data) {
                ByteBuffer b = ByteBuffer.wrap(data);
                return new Part(b.getInt(), b.getInt());
            }
        };
    }

    @Override
    public SimpleVersionedSerializer<Integer> getEnumeratorCheckpointSerializer() {
        return new Bytes<>() {
            @Override
            public byte[] serialize(Integer n) {
                return ByteBuffer.allocate(4).putInt(n).array();
            }

            @Override
            public Integer deserialize(int version, byte[] data) {
                return ByteBuffer.wrap(data).getInt();
            }
        };
    }

    private abstract static class Bytes<E> implements SimpleVersionedSerializer<E> {
        @Override
        public int getVersion() {
            return 1;
        }
    }

    private record Enumerator(SplitEnumeratorContext<Part> context) implements SplitEnumerator<Part, Integer> {
        @Override
        public void addReader(int subtask) {
            context.assignSplit(new Part(subtask, context.currentParallelism()), subtask);
            context.signalNoMoreSplits(subtask);
        }

        @Override
        public void start() {}

        @Override
        public void handleSplitRequest(int subtask, String host) {}

        @Override
        public void addSplitsBack(List<Part> splits, int subtask) {}

        @Override
        public Integer snapshotState(long checkpoint) {
            return 0;
        }

        @Override
        public void close() {}
    }

    private static final class Reader<T> implements SourceReader<T, Part> {
        private final Maker<T> maker;
        private final CompletableFuture<Void> available = new CompletableFuture<>();
        private boolean ready;

        Reader(Maker<T> maker) {
            this.maker = maker;
        }

        @Override
        public void start() {}

        @Override
        public void addSplits(List<Part> parts) {
            maker.open(parts.get(0).number, parts.get(0).parts);
            ready = true;
            available.complete(null);
        }

        @Override
        public void notifyNoMoreSplits() {}

        @Override
        public InputStatus pollNext(ReaderOutput<T> out) {
            if (!ready)
                return InputStatus.NOTHING_AVAILABLE;
            return maker.make(out) ? InputStatus.MORE_AVAILABLE : InputStatus.END_OF_INPUT;
        }

        @Override
        public CompletableFuture<Void> isAvailable() {
            return available;
        }

        @Override
        public List<Part> snapshotState(long checkpoint) {
            return new ArrayList<>();
        }

        @Override
        public void close() {}
    }
}
