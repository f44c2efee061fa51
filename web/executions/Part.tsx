/** A part of the page that is loaded when it is needed, or why it is not there. */
import { Component, Suspense, type ReactNode } from "react";

interface Props {
  children: ReactNode;
  /** Shown until it is loaded. */
  until?: ReactNode;
}

export class Part extends Component<Props, { hasFailed: boolean }> {
  override state = { hasFailed: false };

  static getDerivedStateFromError(): { hasFailed: boolean } {
    return { hasFailed: true };
  }

  override render(): ReactNode {
    if (!this.state.hasFailed) return <Suspense fallback={this.props.until}>{this.props.children}</Suspense>;
    return (
      <section className="none detail" role="alert">
        <h2>This part of the page can’t be shown</h2>
        <p>The gateway is away, has a new version, or gave an answer that can’t be read. The address has all that you see, so that nothing is lost.</p>
        <button type="button" onClick={() => location.reload()}>
          Load the page again
        </button>
      </section>
    );
  }
}
