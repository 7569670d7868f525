package hub.interop;

import com.helger.commons.annotation.IsSPIImplementation;
import com.helger.commons.collection.impl.ICommonsList;
import com.helger.commons.http.HttpHeaderMap;
import com.helger.phase4.attachment.WSS4JAttachment;
import com.helger.phase4.ebms3header.Ebms3Error;
import com.helger.phase4.ebms3header.Ebms3SignalMessage;
import com.helger.phase4.ebms3header.Ebms3UserMessage;
import com.helger.phase4.incoming.IAS4IncomingMessageMetadata;
import com.helger.phase4.incoming.IAS4IncomingMessageState;
import com.helger.phase4.incoming.spi.AS4MessageProcessorResult;
import com.helger.phase4.incoming.spi.AS4SignalMessageProcessorResult;
import com.helger.phase4.incoming.spi.IAS4IncomingMessageProcessorSPI;
import com.helger.phase4.model.pmode.IPMode;
import java.io.InputStream;
import java.security.MessageDigest;
import java.util.HexFormat;
import org.w3c.dom.Node;

/** Says what phase4 made of a message: whether it was signed and encrypted, and each part's size and SHA-512. */
@IsSPIImplementation
public class As4Receiver implements IAS4IncomingMessageProcessorSPI {
  @Override
  public AS4MessageProcessorResult processAS4UserMessage(
      IAS4IncomingMessageMetadata metadata, HttpHeaderMap headers, Ebms3UserMessage message, IPMode mode, Node payload,
      ICommonsList<WSS4JAttachment> parts, IAS4IncomingMessageState state, ICommonsList<Ebms3Error> errors) {
    String id = message.getMessageInfo().getMessageId();
    StringBuilder said = new StringBuilder();
    try {
      for (WSS4JAttachment part : parts) {
        MessageDigest digest = MessageDigest.getInstance("SHA-512");
        long size = 0;
        try (InputStream content = part.getSourceStream()) {
          byte[] piece = new byte[65536];
          for (int number; (number = content.read(piece)) > 0; size += number) digest.update(piece, 0, number);
        }
        said.append("PART ").append(id).append(' ').append(size).append(' ')
            .append(HexFormat.of().formatHex(digest.digest())).append('\n');
      }
    } catch (Exception exception) {
      exception.printStackTrace();
      return AS4MessageProcessorResult.createFailure();
    }
    said.append("TAKEN ").append(id).append(" signed=").append(state.isSoapSignatureChecked())
        .append(" decrypted=").append(state.isSoapDecrypted());
    System.out.println(said);
    return AS4MessageProcessorResult.createSuccess();
  }

  @Override
  public AS4SignalMessageProcessorResult processAS4SignalMessage(
      IAS4IncomingMessageMetadata metadata, HttpHeaderMap headers, Ebms3SignalMessage message, IPMode mode,
      IAS4IncomingMessageState state, ICommonsList<Ebms3Error> errors) {
    return AS4SignalMessageProcessorResult.createSuccess();
  }

  @Override
  public void processAS4ResponseMessage(
      IAS4IncomingMessageMetadata metadata, IAS4IncomingMessageState state, String id, byte[] content, boolean available) {}
}
