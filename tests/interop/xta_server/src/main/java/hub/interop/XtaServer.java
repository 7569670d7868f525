package hub.interop;

import de.xoev.transport.xta._211.*;
import eu.osci.ws._2008._05.transport.X509TokenContainerType;
import eu.osci.ws._2014._10.transport.MessageMetaData;
import eu.osci.ws._2014._10.transport.PartyType;
import jakarta.jws.WebService;
import jakarta.xml.ws.BindingType;
import jakarta.xml.ws.Endpoint;
import jakarta.xml.ws.Holder;
import jakarta.xml.ws.soap.Addressing;
import jakarta.xml.ws.soap.SOAPBinding;
import java.io.InputStream;
import java.io.OutputStream;
import java.math.BigInteger;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.util.GregorianCalendar;
import java.util.HexFormat;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import javax.xml.datatype.DatatypeFactory;
import org.apache.cxf.ws.addressing.AttributedURIType;

/** Two of the three ports: what an author needs. Says on its output what it took; the service "urn:none" it refuses. */
public final class XtaServer {
    static final Map<String, MessageMetaData> TAKEN = new ConcurrentHashMap<>();
    static final String WORDS = "http://xoev.de/transport/xta/211";

    static CodeFehlernummer number(String code) {
        CodeFehlernummer number = new CodeFehlernummer();
        number.setCode(code);
        number.setName("-");
        return number;
    }

    @WebService(
            endpointInterface = "de.xoev.transport.xta._211.ManagementPortType",
            targetNamespace = WORDS,
            serviceName = "XTAService",
            wsdlLocation = "classpath:wsdl/XTA.wsdl",
            portName = "ManagementPort")
    @BindingType(SOAPBinding.SOAP12HTTP_MTOM_BINDING)
    @Addressing
    public static class Management implements ManagementPortType {
        public AttributedURIType createMessageId(PartyType author) {
            AttributedURIType made = new AttributedURIType();
            made.setValue("urn:de:xta:messageid:cxf:" + UUID.randomUUID());
            return made;
        }

        public void checkAccountActive(PartyType author) throws PermissionDeniedException {
            if (author == null || "hub:locked".equals(author.getIdentifier().getValue())) {
                PermissionDeniedExceptionType why = new PermissionDeniedExceptionType();
                why.setErrorCode(number("9011"));
                throw new PermissionDeniedException("locked", why);
            }
        }

        public LookupServiceResponse lookupService(LookupServiceRequest asked, PartyType author) {
            LookupServiceType first = asked.getLookupServiceRequestList().get(0).getLookupService();
            LookupServiceResultType result = new LookupServiceResultType();
            result.setReader(first.getReader());
            result.setServiceType(first.getServiceType());
            IsServiceAvailableValueType value = new IsServiceAvailableValueType();
            value.setServiceIsAvailable(!"urn:none".equals(first.getServiceType()));
            result.setIsServiceAvailableValue(value);
            LookupServiceResponse.LookupServiceResultList list = new LookupServiceResponse.LookupServiceResultList();
            list.getLookupServiceResult().add(result);
            LookupServiceResponse answer = new LookupServiceResponse();
            answer.setLookupServiceResultList(list);
            return answer;
        }

        public void cancelMessage(AttributedURIType id, PartyType author) {}

        public TransportReport getTransportReport(AttributedURIType id, PartyType author)
                throws InvalidMessageIDException {
            MessageMetaData known = TAKEN.get(id.getValue());
            if (known == null) {
                InvalidMessageIDExceptionType why = new InvalidMessageIDExceptionType();
                why.setErrorCode(number("9070"));
                throw new InvalidMessageIDException("unknown", why);
            }
            TransportReport report = new TransportReport();
            MessageStatusType status = new MessageStatusType();
            status.setStatus(BigInteger.ONE);
            report.setMessageMetaData(known);
            report.setMessageStatus(status);
            report.setXTAServerIdentity("cxf");
            try {
                report.setReportTime(DatatypeFactory.newInstance().newXMLGregorianCalendar(new GregorianCalendar()));
            } catch (Exception impossible) {
                throw new IllegalStateException(impossible);
            }
            return report;
        }
    }

    @WebService(
            endpointInterface = "de.xoev.transport.xta._211.SendPortType",
            targetNamespace = WORDS,
            serviceName = "XTAService",
            wsdlLocation = "classpath:wsdl/XTA.wsdl",
            portName = "SendXtaPort")
    @BindingType(SOAPBinding.SOAP12HTTP_MTOM_BINDING)
    @Addressing
    public static class Send implements SendPortType {
        public void sendMessage(GenericContentContainer content, MessageMetaData data, X509TokenContainerType tokens)
                throws ParameterIsNotValidException, MessageSchemaViolationException {
            String id = data.getMsgIdentification().getMessageID().getValue();
            if ("broken".equals(data.getQualifier().getMessageType().getCode())) {
                MessageSchemaViolationExceptionType why = new MessageSchemaViolationExceptionType();
                why.setErrorCode(number("9050"));
                throw new MessageSchemaViolationException("broken", why);
            }
            if (TAKEN.putIfAbsent(id, data) != null) {
                ParameterIsNotValidExceptionType why = new ParameterIsNotValidExceptionType();
                why.setErrorCode(number("9024"));
                throw new ParameterIsNotValidException("taken", why);
            }
            say(id, content.getContentContainer().getMessage());
            content.getContentContainer().getAttachment().forEach(each -> say(id, each));
        }

        public void sendMessageSync(
                Holder<GenericContentContainer> content,
                Holder<MessageMetaData> data,
                Holder<X509TokenContainerType> tokens) {}

        static void say(String id, ContentType part) {
            try (InputStream opened = part.getValue().getInputStream()) {
                DigestInputStream read = new DigestInputStream(opened, MessageDigest.getInstance("SHA-512"));
                long size = read.transferTo(OutputStream.nullOutputStream());
                String digest = HexFormat.of().formatHex(read.getMessageDigest().digest());
                System.out.println("PART " + id + " " + part.getFilename() + " " + size + " " + digest);
            } catch (Exception impossible) {
                throw new IllegalStateException(impossible);
            }
        }
    }

    public static void main(String[] words) throws Exception {
        String base = "http://127.0.0.1:" + words[0] + "/";
        Endpoint.publish(base + "ManagementPort", new Management());
        Endpoint.publish(base + "SendXtaPort", new Send());
        System.out.println("SERVES");
        Thread.currentThread().join();
    }
}
