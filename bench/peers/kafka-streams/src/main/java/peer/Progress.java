package peer;

import java.util.Locale;

/** What is reported of a run: times in nanoseconds, of {@link System#nanoTime}. */
final class Progress {
    private final long last;
    private volatile long restoreBegan;
    private volatile long restored;
    private volatile long running;
    private volatile long processed;
    private volatile boolean isLastProcessed;

    /** With the offset of the last record to process. */
    Progress(long last) {
        this.last = last;
    }

    /** A record was processed; whether it is the last. */
    boolean passed(long offset) {
        processed++;
        if (offset >= last) {
            isLastProcessed = true;
        }
        return isLastProcessed;
    }

    boolean isLastProcessed() {
        return isLastProcessed;
    }

    synchronized void restoreBegins() {
        if (restoreBegan == 0) {
            restoreBegan = System.nanoTime();
        }
    }

    synchronized void restored(long records) {
        restored += records;
    }

    synchronized void runs() {
        if (running == 0) {
            running = System.nanoTime();
        }
    }

    /** The result as one line of JSON, once the last record is committed. */
    String report(long committed) {
        double restoring = restoreBegan == 0 ? 0 : (running - restoreBegan) / 1e9;
        double working = (committed - running) / 1e9;
        return String.format(
                Locale.ROOT,
                "{\"restoring_s\":%.6f,\"restored\":%d,\"working_s\":%.6f,\"processed\":%d}",
                restoring, restored, working, processed);
    }
}
