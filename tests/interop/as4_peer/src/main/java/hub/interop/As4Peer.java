package hub.interop;

import com.helger.commons.http.EHttpMethod;
import com.helger.commons.state.ETriState;
import com.helger.phase4.CAS4;
import com.helger.phase4.attachment.AS4OutgoingAttachment;
import com.helger.phase4.attachment.WSS4JAttachment;
import com.helger.phase4.client.AS4ClientSentMessage;
import com.helger.phase4.client.AS4ClientUserMessage;
import com.helger.phase4.crypto.AS4CryptoFactoryInMemoryKeyStore;
import com.helger.phase4.crypto.ECryptoAlgorithmCrypt;
import com.helger.phase4.crypto.ECryptoAlgorithmSign;
import com.helger.phase4.crypto.ECryptoAlgorithmSignDigest;
import com.helger.phase4.crypto.IAS4CryptoFactory;
import com.helger.phase4.incoming.AS4IncomingProfileSelectorConstant;
import com.helger.phase4.incoming.AS4RequestHandler;
import com.helger.phase4.incoming.AS4ServerInitializer;
import com.helger.phase4.model.EMEP;
import com.helger.phase4.model.EMEPBinding;
import com.helger.phase4.model.ESoapVersion;
import com.helger.phase4.model.pmode.PMode;
import com.helger.phase4.model.pmode.PModeParty;
import com.helger.phase4.model.pmode.PModePayloadService;
import com.helger.phase4.model.pmode.PModeReceptionAwareness;
import com.helger.phase4.model.pmode.leg.EPModeSendReceiptReplyPattern;
import com.helger.phase4.model.pmode.leg.PModeLeg;
import com.helger.phase4.model.pmode.leg.PModeLegBusinessInformation;
import com.helger.phase4.model.pmode.leg.PModeLegErrorHandling;
import com.helger.phase4.model.pmode.leg.PModeLegProtocol;
import com.helger.phase4.model.pmode.leg.PModeLegReliability;
import com.helger.phase4.model.pmode.leg.PModeLegSecurity;
import com.helger.phase4.servlet.AS4UnifiedResponse;
import com.helger.phase4.servlet.AS4XServletHandler;
import com.helger.phase4.servlet.IAS4ServletRequestHandlerCustomizer;
import com.helger.phase4.util.AS4ResourceHelper;
import com.helger.phase4.wss.EWSSVersion;
import com.helger.photon.io.WebFileIO;
import com.helger.servlet.mock.MockServletContext;
import com.helger.web.scope.IRequestWebScopeWithoutResponse;
import com.helger.web.scope.mgr.WebScopeManager;
import com.helger.xservlet.AbstractXServlet;
import java.io.File;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import org.apache.catalina.Context;
import org.apache.catalina.startup.Tomcat;

/** phase4 as the other access point: {@code serve KEYS PORT}, or {@code send KEYS URL FILE...}. */
public class As4Peer {
  private static final String AGREEMENT = "urn:example:agreement";

  private static X509Certificate certificate(Path folder, String name) throws Exception {
    try (InputStream content = Files.newInputStream(folder.resolve(name + ".pem"))) {
      return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(content);
    }
  }

  private static IAS4CryptoFactory crypto(Path folder) throws Exception {
    KeyStore own = KeyStore.getInstance("PKCS12");
    try (InputStream content = Files.newInputStream(folder.resolve("peer.p12"))) {
      own.load(content, "secret".toCharArray());
    }
    KeyStore trusted = KeyStore.getInstance("PKCS12");
    trusted.load(null, null);
    trusted.setCertificateEntry("hub", certificate(folder, "hub"));
    trusted.setCertificateEntry("peer", certificate(folder, "peer"));
    return new AS4CryptoFactoryInMemoryKeyStore(own, "peer", "secret".toCharArray(), trusted);
  }

  private static PMode mode() {
    PModeLegSecurity security = new PModeLegSecurity();
    security.setWSSVersion(EWSSVersion.WSS_111);
    security.setX509SignatureAlgorithm(ECryptoAlgorithmSign.RSA_SHA_256);
    security.setX509SignatureHashFunction(ECryptoAlgorithmSignDigest.DIGEST_SHA_256);
    security.setX509EncryptionAlgorithm(ECryptoAlgorithmCrypt.AES_128_GCM);
    security.setX509EncryptionMinimumStrength(128);
    security.setPModeAuthorize(false);
    security.setSendReceipt(true);
    security.setSendReceiptNonRepudiation(true);
    security.setSendReceiptReplyPattern(EPModeSendReceiptReplyPattern.RESPONSE);
    PModeLeg leg = new PModeLeg(
        PModeLegProtocol.createForDefaultSoapVersion((String) null),
        new PModeLegBusinessInformation(null, null, null, null, null, null, CAS4.DEFAULT_MPC_ID),
        new PModeLegErrorHandling(null, null, ETriState.TRUE, ETriState.TRUE, ETriState.TRUE, ETriState.TRUE),
        (PModeLegReliability) null, security);
    return new PMode(
        "hub-test", new PModeParty(null, "hub", CAS4.DEFAULT_INITIATOR_URL, null, null),
        new PModeParty(null, "bauamt", CAS4.DEFAULT_RESPONDER_URL, null, null), AGREEMENT, EMEP.ONE_WAY, EMEPBinding.PUSH,
        leg, (PModeLeg) null, (PModePayloadService) null,
        new PModeReceptionAwareness(ETriState.TRUE, ETriState.TRUE, 1, 10_000, ETriState.TRUE));
  }

  private static final class Door extends AbstractXServlet {
    Door(IAS4CryptoFactory crypto) {
      settings().setMultipartEnabled(false);
      AS4XServletHandler handler = new AS4XServletHandler();
      handler.setRequestHandlerCustomizer(new IAS4ServletRequestHandlerCustomizer() {
        @Override
        public void customizeBeforeHandling(
            IRequestWebScopeWithoutResponse scope, AS4UnifiedResponse response, AS4RequestHandler asked) {
          asked.setCryptoFactory(crypto);
          PMode mode = mode();
          asked.setPModeResolver((id, service, action, initiator, responder, agreement, address) -> mode);
          asked.setIncomingProfileSelector(new AS4IncomingProfileSelectorConstant(null, false));
        }

        @Override
        public void customizeAfterHandling(
            IRequestWebScopeWithoutResponse scope, AS4UnifiedResponse response, AS4RequestHandler asked) {}
      });
      handlerRegistry().registerHandler(EHttpMethod.POST, handler);
    }
  }

  private static void serve(IAS4CryptoFactory crypto, File data, int port) throws Exception {
    Tomcat server = new Tomcat();
    server.setBaseDir(data.getPath());
    server.setHostname("127.0.0.1");
    server.setPort(port);
    server.getConnector().setProperty("address", "127.0.0.1");
    server.getConnector().setProperty("maxPostSize", "-1");
    Context context = server.addContext("", data.getPath());
    context.addServletContainerInitializer((classes, there) -> {
      WebScopeManager.onGlobalBegin(there);
      WebFileIO.initPaths(data, data.getPath(), false);
      AS4ServerInitializer.initAS4Server();
      var door = there.addServlet("as4", new Door(crypto));
      door.addMapping("/as4");
      door.setLoadOnStartup(1);
    }, null);
    server.start();
    System.out.println("SERVES");
    server.getServer().await();
  }

  private static void send(IAS4CryptoFactory crypto, File data, X509Certificate hub, String[] words) throws Exception {
    WebScopeManager.onGlobalBegin(MockServletContext.create());
    WebFileIO.initPaths(data, data.getPath(), false);
    try (AS4ResourceHelper resources = new AS4ResourceHelper()) {
      AS4ClientUserMessage message = new AS4ClientUserMessage(resources);
      message.setCryptoFactory(crypto);
      message.setSoapVersion(ESoapVersion.SOAP_12);
      message.signingParams().setAlgorithmSign(ECryptoAlgorithmSign.RSA_SHA_256)
          .setAlgorithmSignDigest(ECryptoAlgorithmSignDigest.DIGEST_SHA_256);
      message.setPMode(mode(), true);
      message.cryptParams().setAlgorithmCrypt(ECryptoAlgorithmCrypt.AES_128_GCM).setCertificate(hub);
      message.setServiceValue(System.getProperty("service", "urn:example:service")).setAction("submit").setConversationID("conversation-1")
          .setAgreementRefValue(AGREEMENT).setFromPartyID("bauamt").setFromRole(CAS4.DEFAULT_INITIATOR_URL)
          .setToPartyID("hub").setToRole(CAS4.DEFAULT_RESPONDER_URL);
      for (int number = 3; number < words.length; number++) {
        message.addAttachment(WSS4JAttachment.createOutgoingFileAttachment(
            AS4OutgoingAttachment.builder().data(Files.readAllBytes(Path.of(words[number]))).mimeTypeXML()
                .compressionGZIP().build(), resources));
      }
      AS4ClientSentMessage<byte[]> sent = message.sendMessageWithRetries(words[2], answer -> {
        System.out.println("HTTP " + answer.getCode());
        return answer.getEntity() == null ? new byte[0] : answer.getEntity().getContent().readAllBytes();
      }, null, null, null);
      System.out.println("SENT " + sent.getMessageID());
      Files.write(Path.of("answer.xml"), sent.getResponseContent());
      verify(crypto, sent.getResponseContent());
    }
  }

  /** Verify the signature of a receipt as phase4's own receiver does. */
  private static void verify(IAS4CryptoFactory crypto, byte[] content) throws Exception {
    var document = com.helger.xml.serialize.read.DOMReader.readXMLDOM(content);
    var asked = new org.apache.wss4j.dom.handler.RequestData();
    asked.setSigVerCrypto(crypto.getCrypto(com.helger.phase4.crypto.ECryptoMode.DECRYPT_VERIFY));
    asked.setWssConfig(org.apache.wss4j.dom.engine.WSSConfig.getNewInstance());
    asked.setEnableRevocation(false);
    asked.setDisableBSPEnforcement(true);
    var found = new org.apache.wss4j.dom.engine.WSSecurityEngine().processSecurityHeader(document, asked);
    System.out.println("VERIFIED " + (found != null && !found.getResults().isEmpty()));
  }

  public static void main(String[] words) throws Exception {
    Path folder = Path.of(words[1]);
    IAS4CryptoFactory crypto = crypto(folder);
    File data = new File("data").getAbsoluteFile();
    data.mkdirs();
    if (words[0].equals("serve")) {
      serve(crypto, data, Integer.parseInt(words[2]));
    } else {
      send(crypto, data, certificate(folder, "hub"), words);
      System.exit(0);
    }
  }
}
